package cli

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type createFlags struct {
	dir, env, namespace string
	goFile, paired      bool
}

func (f *createFlags) add(cmd *cobra.Command, s *settings) {
	flags := cmd.Flags()
	if !s.standalone {
		flags.StringVar(&f.dir, "dir", "sql", "`folder` of the migrations")
		settable(flags, "dir", "GOOSE_MIGRATION_DIR")
	}
	flags.StringVar(&f.env, "env", "", "`environment` whose folder gets the files, instead of base")
	flags.StringVar(&f.namespace, "namespace", "", "`namespace` whose folder gets the files")
	flags.BoolVar(&f.goFile, "go", false, "make a migration in Go instead of SQL")
	flags.BoolVar(&f.paired, "paired", false, "make two files, .up.sql and .down.sql; by default as the other migrations")
	settable(flags, "namespace")
}

var (
	// nameRule matches the names of migrations.
	nameRule = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	// folderRule matches the names of environments and namespaces: one folder.
	folderRule = regexp.MustCompile(`^[\pL\pN][\pL\pN ._-]*$`)
)

func create(c *call, f *createFlags) error {
	name := c.args[0]
	if !nameRule.MatchString(name) {
		return usagef("the name %q is not allowed: use lower-case letters, digits and single underscores, such as add_users_email", name)
	}
	if f.goFile && f.paired {
		return usagef("--go and --paired exclude each other: a migration in Go is one file")
	}
	if f.goFile && constrained(name) {
		return usagef("the name %q is not allowed: Go compiles a file with this ending only for tests or for one system", name)
	}
	for flag, value := range map[string]string{"env": f.env, "namespace": f.namespace} {
		if value != "" && !folderRule.MatchString(value) {
			return usagef("--%s %q is not the name of a folder", flag, value)
		}
	}
	if c.settings.standalone {
		f.dir = c.settings.files.dir
	}
	if err := namespaceOf(c, f); err != nil {
		return err
	}
	place, err := f.place()
	if err != nil {
		return err
	}
	// A program of somebody's own is often started elsewhere, and reads no folder that is made there.
	if !c.settings.standalone && !c.cmd.Flags().Changed("dir") && !isFolder(f.dir) {
		return usagef("there is no folder %s here for the migration: name the folder of the migrations with --dir, or make it first", clean(filepath.ToSlash(f.dir)))
	}
	if !f.goFile && !c.cmd.Flags().Changed("paired") {
		f.paired = place.paired()
	}
	update := c.keepSums(f.dir)
	created, err := place.create(c.ctx, name, f, time.Now())
	if err != nil {
		return err
	}
	data := map[string]any{"version": created.version, "files": created.files}
	c.data = data
	if created.folder != "" {
		data["folder"] = created.folder
		c.out.line("made the folder %s", clean(created.folder))
	}
	for _, file := range created.files {
		c.out.line("created %s", clean(file))
	}
	if file := update(); file != "" {
		data["sum"] = file
	}
	return nil
}

// constrained says whether the go command compiles a file of such a name for some systems only.
func constrained(name string) bool {
	if strings.HasSuffix(name, "_test") {
		return true
	}
	context := build.Context{GOOS: "none", GOARCH: "none", Compiler: "gc", OpenFile: func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("package p")), nil
	}}
	match, err := context.MatchFile("", "1_"+name+".go")
	return err == nil && !match
}

type created struct {
	version int64
	files   []string
	folder  string // "" if it was there
}

func (p place) create(ctx context.Context, name string, f *createFlags, now time.Time) (created, error) {
	var done created
	if !isFolder(p.dir) {
		done.folder = filepath.ToSlash(p.dir)
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return created{}, err
	}
	folders := []string{f.dir}
	if f.goFile {
		folders = append(folders, moduleOf(f.dir))
	}
	unlock, err := lockFolders(ctx, folders)
	if err != nil {
		return created{}, err
	}
	defer unlock()
	n, err := p.numbering()
	if err != nil {
		return created{}, err
	}
	if f.goFile {
		if err := n.takeGo(moduleOf(f.dir)); err != nil {
			return created{}, err
		}
	}
	number := n.next(now)
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return created{}, err
	}
	texts, order := p.texts(number+"_"+name, version, f)
	done.version = version
	for _, file := range order {
		path := filepath.Join(p.dir, file)
		if err := writeNew(path, texts[file]); err != nil {
			return created{}, err
		}
		done.files = append(done.files, filepath.ToSlash(path))
	}
	return done, nil
}

// writeNew writes a file that must not be there.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, text)
	return errors.Join(err, file.Close())
}

// texts are the new files, by their names.
func (p place) texts(stem string, version int64, f *createFlags) (map[string]string, []string) {
	switch {
	case f.goFile:
		return map[string]string{stem + ".go": fmt.Sprintf(goText, p.packageName(), version)}, []string{stem + ".go"}
	case f.paired:
		return map[string]string{stem + ".up.sql": pairUpText, stem + ".down.sql": pairDownText}, []string{stem + ".up.sql", stem + ".down.sql"}
	}
	return map[string]string{stem + ".sql": sqlText}, []string{stem + ".sql"}
}

// packageName is the package of the Go files in the folder. Without any it is made from the folder's name.
func (p place) packageName() string {
	files, _ := filepath.Glob(filepath.Join(p.dir, "*.go")) // the pattern may be odd, then there are none
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
		if err == nil && !strings.HasSuffix(parsed.Name.Name, "_test") {
			return parsed.Name.Name
		}
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(filepath.Base(p.dir)))
	if !token.IsIdentifier(name) {
		return "migrations"
	}
	return name
}

const (
	sqlText = `-- +goose Up


-- +goose Down
-- The statements that undo the Up. If there is nothing to undo, write SELECT 1; because a migration with an empty Down can't be undone.
`
	pairUpText   = "-- The statements of the migration; the database gets them as one text.\n"
	pairDownText = "-- The statements that undo it; the database gets them as one text. If there is nothing to undo, write SELECT 1;\n"
	goText       = `package %[1]s

import (
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"
)

func init() {
	goose.AddMigrationContext(up%[2]d, down%[2]d)
}

func up%[2]d(ctx context.Context, tx *sql.Tx) error {
	return nil
}

func down%[2]d(ctx context.Context, tx *sql.Tx) error {
	return nil
}
`
)
