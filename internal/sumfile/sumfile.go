// Package sumfile reads and writes gooseplus.sum, the file beside the migrations that lists each of them with its sum. Two
// branches that both add a migration change its last line, so that git reports a conflict when they are merged.
package sumfile

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Name is the file's name. It is in the base path.
const Name = "gooseplus.sum"

// Sums are the sums of files by their paths below the base path.
type Sums map[string]string

// migration matches the names of the files that goose, or a pair, takes for migrations.
var migration = regexp.MustCompile(`^\d+_.*\.sql$`)

// Scan reads the sums of all migrations below the base path, of whichever environment and namespace.
func Scan(fsys fs.FS, base string, q sqltext.Quoting) (Sums, error) {
	sums := Sums{}
	err := fs.WalkDir(fsys, base, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !migration.MatchString(entry.Name()) {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		sums[below(base, name)] = q.Sum(string(text))
		return nil
	})
	return sums, err
}

func below(base, name string) string {
	if base == "." {
		return name
	}
	return strings.TrimPrefix(name, base+"/")
}

const head = "# The sums of the migrations, written by: gooseplus sum. The last line changes with each of them: if it is in conflict,\n" +
	"# merge the migrations first (gooseplus renumber), then run gooseplus sum again.\n"

// String is the file.
func (s Sums) String() string { return head + s.lines() + s.last() + "\n" }

func (s Sums) lines() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s %s\n", s[name], name)
	}
	return b.String()
}

// last is the last line, which depends on all others.
func (s Sums) last() string {
	return fmt.Sprintf("%x in all: %d", sha256.Sum256([]byte(s.lines())), len(s))
}

var again = "run gooseplus sum again"

// parse reads the file.
func parse(text string) (Sums, error) {
	s := Sums{}
	last := ""
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		sum, name, ok := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "<<<<<<<"), strings.HasPrefix(line, "======="), strings.HasPrefix(line, ">>>>>>>"):
			return nil, faultf("%s has a conflict of git: merge the migrations, then %s", Name, again)
		case last != "" || !ok:
			return nil, faultf("%s: the line %q is out of place: %s", Name, line, again)
		case strings.HasPrefix(name, "in all: "):
			last = line
		default:
			s[name] = sum
		}
	}
	if last != s.last() {
		return nil, faultf("%s: its last line doesn't belong to the others: a merge or an edit has changed it: %s", Name, again)
	}
	return s, nil
}

// A Fault is one fault that Check finds.
type Fault struct{ text string }

func (f *Fault) Error() string { return f.text }

func faultf(format string, args ...any) error { return &Fault{fmt.Sprintf(format, args...)} }

// Check compares the file, if it is there, with the migrations in the given folders, and names each that is missing, not
// listed, or changed. Folders are below the base path; "." is the base path itself, and nil means all folders.
func Check(fsys fs.FS, base string, folders []string, q sqltext.Quoting) error {
	file := path.Join(base, Name)
	text, err := fs.ReadFile(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	listed, err := parse(string(text))
	if err != nil {
		return err
	}
	found, err := Scan(fsys, base, q)
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(union(listed, found))) {
		if folders != nil && !slices.Contains(folders, path.Dir(name)) {
			continue
		}
		full := path.Join(base, name)
		switch was, is := listed[name], found[name]; {
		case was == "":
			faults = append(faults, faultf("%s is not listed in %s: if it is new, %s", full, file, again))
		case is == "":
			faults = append(faults, faultf("%s is missing, and listed in %s: restore it, or %s", full, file, again))
		case was != is:
			faults = append(faults, faultf("%s was changed since %s was written: take the change back if the migration has been applied anywhere, or %s", full, file, again))
		}
	}
	return errors.Join(faults...)
}

func union(a, b Sums) Sums {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}
