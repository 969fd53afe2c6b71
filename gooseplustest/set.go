package gooseplustest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// testEnvironment is the folder that every test database has besides base.
const testEnvironment = "test"

// set is what a template is made of.
type set struct {
	migset.Description
	opts []gooseplus.Option
	// project is the same for all sets of a Go module, lineage for those that may follow each other as somebody
	// edits the migrations, and key for those that make the same database.
	project, lineage, key string
	// list are short hashes of the migrations, by which a set knows what it was before: of the name, a dot, of the text.
	list []string
}

// newSet reads the migrations that the options name. The dialect is what the options say unless they say something.
func newSet(dialect string, opts []gooseplus.Option) (*set, error) {
	s := &set{opts: append([]gooseplus.Option{
		gooseplus.WithDialect(dialect), gooseplus.WithEnvironments(testEnvironment),
	}, opts...)}
	var err error
	if s.Description, err = gooseplus.New(nil, s.opts...).Describe(); err != nil {
		return nil, err
	}
	sum := sha256.New()
	s.project = projectName()
	digest(sum, s.project)
	// See follows for the sets of several services in one module that have the first version in common.
	first := int64(0)
	if len(s.Migrations) > 0 {
		first = s.Migrations[0].Version
	}
	s.lineage = digest(sum, fmt.Sprintf("%s %d", s.Settings, first))[:8]
	for _, m := range s.Migrations {
		digest(sum, fmt.Sprintf("%q %d %q %q %q", m.Namespace, m.Version, m.Source, m.Text, substitutes(m.Text)))
		for _, file := range m.Files {
			digest(sum, sources(file))
		}
		name := fmt.Sprintf("%q %d %q", m.Namespace, m.Version, path.Base(filepath.ToSlash(m.Source)))
		s.list = append(s.list, digest(sha256.New(), name)[:8]+"."+digest(sha256.New(), m.Text)[:8])
	}
	s.key = digest(sum, layout)[:16]
	return s, nil
}

// follows says whether a set with these migrations is what this one was before somebody edited it, rather than that of
// another service, which begins with a version and with options that are often the same: at least half of all names are in
// both, and one migration as a whole, unless there is but one.
func (s *set) follows(list []string) bool {
	texts := make(map[string]string) // by the names
	for _, own := range s.list {
		name, text, _ := strings.Cut(own, ".")
		texts[name] = text
	}
	names, whole := 0, 0
	for _, old := range list {
		name, oldText, _ := strings.Cut(old, ".")
		text, is := texts[name]
		if is {
			names++
		}
		if is && text == oldText {
			whole++
		}
	}
	return 2*names >= len(list)+len(s.list)-names && (whole > 0 || len(list) < 2 || len(s.list) < 2)
}

// layout is changed when a template of an earlier version of this package can't be used any more.
const layout = "1"

// digest adds a text to the sum and returns what it is then.
func digest(sum hash.Hash, text string) string {
	fmt.Fprintf(sum, "%d:%s\n", len(text), text)
	return hex.EncodeToString(sum.Sum(nil))
}

// projectName is the same for all tests of a Go module.
func projectName() string { return digest(sha256.New(), modulePath())[:8] }

// modulePath is the path of the module whose tests these are.
func modulePath() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Path
	}
	return ""
}

// variable is one of the environment in a text, as goose substitutes it.
var variable = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)

// substitutes are the variables of the environment that goose may put into a text, with their values.
func substitutes(text string) (list []string) {
	if !strings.Contains(text, "ENVSUB ON") {
		return nil
	}
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		if value, is := os.LookupEnv(m[1]); is {
			list = append(list, m[1]+"="+value)
		}
	}
	return list
}

// hashes are those of sources: files don't change while a test runs.
var hashes sync.Map

// sources is the hash of the Go files beside one of them, and of the files that they embed, so that a migration in Go counts
// as another one when somebody edits it. Tests are not among them, unless the file is one. Where the tests were compiled
// with -trimpath, or on another machine, there is nothing to read, and whatever else is compiled may have changed.
func sources(file string) string {
	if known, ok := hashes.Load(file); ok {
		return known.(string)
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || !filepath.IsAbs(file) {
		return program()
	}
	sum, dir := sha256.New(), filepath.Dir(file)
	text := digest(sum, "")
	add := func(path string) (content []byte) {
		content, err := os.ReadFile(path)
		if err == nil {
			name, _ := filepath.Rel(dir, path) // both are absolute
			text = digest(sum, name+"\x00"+string(content))
		}
		return content
	}
	const test = "_test.go"
	files, _ := filepath.Glob(filepath.Join(escapeGlob(dir), "*.go")) // sorted; none if there is no such folder here
	for _, beside := range files {
		if strings.HasSuffix(beside, test) && !strings.HasSuffix(file, test) {
			continue
		}
		for _, path := range embedded(dir, add(beside)) {
			add(path)
		}
	}
	hashes.Store(file, text)
	return text
}

// program is the hash of this process's program.
var program = sync.OnceValue(func() string {
	path, err := os.Executable()
	if err != nil {
		return process // for a template that nobody else has
	}
	f, err := os.Open(path)
	if err != nil {
		return process
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return process
	}
	return hex.EncodeToString(sum.Sum(nil))
})

var embeds = regexp.MustCompile(`(?m)^//go:embed[ \t]+(.+)$`)

// embedded are the files that a Go file in a folder embeds.
func embedded(dir string, source []byte) (paths []string) {
	for _, directive := range embeds.FindAllSubmatch(source, -1) {
		for _, pattern := range strings.Fields(string(directive[1])) {
			pattern = strings.TrimPrefix(strings.Trim(pattern, "\"`"), "all:")
			found, _ := filepath.Glob(filepath.Join(escapeGlob(dir), filepath.FromSlash(pattern))) // the compiler takes no bad ones
			for _, root := range found {
				_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { // what can't be read is not in the hash
					if err == nil && d.Type().IsRegular() {
						paths = append(paths, path)
					}
					return nil
				})
			}
		}
	}
	return paths
}

// escapeGlob has a path mean itself in a pattern.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' {
		return path // there is no escape on Windows
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
