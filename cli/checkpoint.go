package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/dump"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// checkpointFlags are the flags of checkpoint.
type checkpointFlags struct {
	shadow, name, dir string
	to                int64
}

func (f *checkpointFlags) add(cmd *cobra.Command, s *settings) {
	if !s.standalone {
		cmd.Flags().StringVar(&f.dir, "dir", "sql", "`folder` of the migrations")
		settable(cmd.Flags(), "dir", "GOOSE_MIGRATION_DIR")
	}
	addShadow(cmd, &f.shadow)
	cmd.Flags().StringVar(&f.name, "name", "", "`name` in the file's name, instead of the environments' names")
	cmd.Flags().Int64Var(&f.to, "to", 0, "the highest `version` that it stands for, instead of the newest")
}

// checkpointDone is the data of checkpoint.
type checkpointDone struct {
	File     string `json:"file"`
	Version  int64  `json:"version"`
	Versions int    `json:"versions"`
	Sum      string `json:"sum,omitempty"`
}

const checkpointLong = "Writes VERSION_NAME.checkpoint.sql, which stands for all versions up to its own in databases without any applied\n" +
	"version. Programs use it with WithCheckpoints(true).\n" +
	"The command runs the migrations in one new database and the checkpoint in another one, and compares what both\n" +
	"have: every object, every row of every table, the positions of sequences. It writes no file if anything differs.\n" +
	"Both databases are copies of the shadow, which must be empty, and are dropped again; the user needs the right\n" +
	"to create databases. On PostgreSQL it needs pg_dump of the server's version or a newer one. SQLite needs no shadow.\n" +
	"A checkpoint is for one list of environments, and for one namespace (--namespace)."

// checkpoint writes a checkpoint and verifies it.
func checkpoint(c *call, f *checkpointFlags) error {
	if f.name != "" && !folderRule.MatchString(f.name) {
		return usagef("--name %q: use letters, digits, spaces, dots, hyphens and underscores", f.name)
	}
	if c.settings.standalone {
		f.dir = c.settings.files.dir
		if f.shadow != "" { // no other database is needed, and this one says which dialect it is
			c.settings.database.dsn = f.shadow
		}
	}
	w, err := newCheckpointWriter(c, f)
	if err != nil {
		return err
	}
	file := filepath.Join(f.dir, filepath.FromSlash(strings.TrimPrefix(strings.TrimPrefix(w.file, path.Clean(w.set.BasePath)), "/")))
	if folder := filepath.Dir(file); !isFolder(folder) {
		return usagef("there is no folder %s for the checkpoint: name the folder of the migrations with --dir", clean(filepath.ToSlash(folder)))
	}
	unlock, err := lockFolders(c.ctx, []string{f.dir})
	if err != nil {
		return err
	}
	defer unlock()
	text, err := w.write(c.ctx)
	if err != nil {
		return err
	}
	update := c.keepSums(f.dir)
	if err := writeWhole(file, text); err != nil {
		return err
	}
	done := checkpointDone{File: filepath.ToSlash(file), Version: w.version(), Versions: len(w.covered)}
	c.out.line("%s stands for %s", clean(done.File), counted(len(w.covered), "version"))
	done.Sum = update()
	c.data = done
	return nil
}

// writeWhole writes a file as a whole, so that a command that is cut off leaves none or the old one.
func writeWhole(file, text string) error {
	temporary, err := os.CreateTemp(filepath.Dir(file), ".gooseplus-*")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(text)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

// checkpointWriter writes one checkpoint.
type checkpointWriter struct {
	whole     *gooseplus.Migrator // of all namespaces
	namespace string
	set       migset.Description // of the namespace
	covered   []migset.Covered
	file      string // in the file system of the migrations
	scratch   *scratch
	say       func(format string, args ...any)
}

func (w *checkpointWriter) version() int64 { return w.covered[len(w.covered)-1].Version }

func newCheckpointWriter(c *call, f *checkpointFlags) (w *checkpointWriter, err error) {
	w = &checkpointWriter{namespace: c.settings.shared.namespace, say: c.out.note}
	c.settings.shared.namespace = "" // those before it may be needed too
	w.whole, err = c.migrator(withPurpose(c.ctx, noDatabase))
	c.settings.shared.namespace = w.namespace
	if err != nil {
		return nil, err
	}
	if names := w.whole.Namespaces(); len(names) > 0 && !slices.Contains(names, w.namespace) {
		return nil, usagef("each namespace has a checkpoint of its own: choose one with --namespace, of %s", strings.Join(names, ", "))
	}
	w.whole = quietly(w.whole)
	if w.set, err = w.chosen(w.whole).Describe(); err != nil {
		// Files may be gone that another checkpoint stands for.
		w.whole = w.whole.With(gooseplus.WithCheckpoints(true))
		if w.set, err = w.chosen(w.whole).Describe(); err != nil {
			return nil, &refusedError{err}
		}
	}
	all, err := w.whole.Describe()
	if err != nil {
		return nil, &refusedError{err}
	}
	w.set.Tables = all.Tables // also those of the namespaces that come first
	if w.set.Schema != "" {
		return nil, usagef("a checkpoint is for any schema: leave out --schema (WithSchema)")
	}
	if err := w.cover(f.to); err != nil {
		return nil, err
	}
	w.place(f.name)
	if s := c.settings; s.standalone && f.shadow == "" && s.database.driver == "" && !s.hasDSN() { // PostgreSQL is only a guess
		return nil, usagef("there is no shadow: set --shadow, or GOOSEPLUS_SHADOW_DSN, to the DSN of an empty database that nobody uses; for SQLite set --driver sqlite instead")
	}
	w.scratch, err = newScratch(c, f.shadow, w.set)
	return w, err
}

func (w *checkpointWriter) chosen(m *gooseplus.Migrator) *gooseplus.Migrator {
	if w.namespace == "" {
		return m
	}
	return m.Namespace(w.namespace)
}

// quietly is a Migrator for a database that nobody else uses, and that is dropped afterwards.
func quietly(m *gooseplus.Migrator) *gooseplus.Migrator {
	return m.With(gooseplus.WithLogger(nil), gooseplus.WithGlobalLock(false), gooseplus.WithRollback(gooseplus.RollbackNone),
		gooseplus.WithForeignHistory(gooseplus.Ignore), gooseplus.WithUnknownVersions(gooseplus.Ignore), gooseplus.WithChecksums(gooseplus.Ignore),
		gooseplus.WithProtectedEnvironments(), gooseplus.WithCheckpoints(false))
}

var substitutes = regexp.MustCompile(`(?mi)^--[ \t]*\+goose[ \t]+ENVSUB[ \t]+ON`)

// cover chooses the versions.
func (w *checkpointWriter) cover(to int64) error {
	for _, m := range w.set.Migrations {
		if to > 0 && m.Version > to {
			continue
		}
		if substitutes.MatchString(m.Text) {
			return &refusedError{fmt.Errorf("%s depends on variables (-- +goose ENVSUB ON): a checkpoint would keep the values of this moment; write one of the versions before with --to", m.Source)}
		}
		w.covered = append(w.covered, m.Covered)
	}
	if len(w.covered) == 0 || to > 0 && w.version() != to {
		return usagef("there is no migration with the version that the checkpoint is to lead to")
	}
	return nil
}

var number = regexp.MustCompile(`^\d+`)

// place names the file. It is in the folder of the last environment that has any of the versions.
func (w *checkpointWriter) place(name string) {
	folder, names := w.set.Folders[0].Path, []string{}
	for _, f := range w.set.Folders {
		if slices.ContainsFunc(w.covered, func(c migset.Covered) bool { return c.Environment == f.Environment }) {
			folder = f.Path
			if f.Environment != "" {
				names = append(names, f.Environment)
			}
		}
	}
	if name == "" {
		name = strings.Join(names, "_")
	}
	if name == "" {
		name = "all"
	}
	version := number.FindString(path.Base(w.covered[len(w.covered)-1].Source)) // with its zeros
	if v, err := strconv.ParseInt(version, 10, 64); err != nil || v != w.version() {
		version = strconv.FormatInt(w.version(), 10)
	}
	w.file = path.Join(folder, version+"_"+name+".checkpoint.sql")
}

// write returns the text, once it has proved to make what the migrations make. On PostgreSQL they run in a schema with a name
// that is found nowhere else, and the text leaves it out. Where they name the schema of the search_path, they run there too:
// if they need it, or if something else comes of it, the text is for that schema alone.
func (w *checkpointWriter) write(ctx context.Context) (text string, err error) {
	defer func() { err = errors.Join(err, w.scratch.drop(ctx)) }()
	if w.set.Dialect != goose.DialectPostgres {
		made, err := w.make(ctx)
		return made.text, err
	}
	w.scratch.schema = w.scratch.id
	anywhere, err := w.make(ctx)
	_, failed := errors.AsType[*gooseplus.MigrationError](err)
	if err != nil && !failed || !w.names(w.scratch.home) {
		return anywhere.text, err
	}
	w.say("so far in a schema of another name; the migrations name the schema %s, so they run there too", w.scratch.home)
	w.scratch.schema = ""
	there, err := w.make(ctx)
	if _, fails := errors.AsType[*gooseplus.MigrationError](err); fails && !failed && there.text == "" {
		return anywhere.text, nil // they are for any schema but that one
	}
	if err == nil && !failed {
		// Another run of the migrations may have made other rows: now() is one reason.
		if have, err := w.try(ctx, anywhere.text, there); err == nil && slices.Equal(shapes(dump.ByName(w.set.Dialect, have)), shapes(dump.ByName(w.set.Dialect, there.after))) {
			return anywhere.text, nil
		}
	}
	if err == nil {
		w.say("the checkpoint is for the schema %s alone", w.scratch.home)
	}
	return there.text, err
}

// shapes are statements without the values of rows.
func shapes(statements []string) (list []string) {
	for _, s := range statements {
		if into, values, rows := strings.Cut(s, " VALUES"); rows && strings.HasPrefix(into, "INSERT") {
			s = fmt.Sprintf("%s %d", into, strings.Count(values, "\n"))
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// names says whether any migration has the name of a schema in it, as far as that can be seen.
func (w *checkpointWriter) names(schema string) bool {
	word := regexp.MustCompile(`(?i)(^|\W)` + regexp.QuoteMeta(schema) + `(\W|$)`)
	return schema != "" && slices.ContainsFunc(w.set.Migrations, func(m migset.Shown) bool { return m.Text == "" || word.MatchString(m.Text) })
}

// attempt is the text of a checkpoint, and the database of which it was made.
type attempt struct {
	text  string
	steps *scratchDatabase
	after []string // its statements
}

// make makes a checkpoint in the schema of the scratch databases, and verifies it.
func (w *checkpointWriter) make(ctx context.Context) (made attempt, err error) {
	if made.steps, err = w.scratch.create(ctx); err != nil {
		return made, err
	}
	before, err := w.before(ctx, made.steps)
	if err != nil {
		return made, err
	}
	if err := w.chosen(w.whole.On(made.steps.db)).MigrateTo(ctx, w.version()); err != nil {
		return made, inShadow("the migrations don't run in the shadow", err)
	}
	if made.after, err = made.steps.read(ctx); err != nil {
		return made, err
	}
	d, err := dialect.Lookup(string(w.set.Dialect))
	if err != nil {
		return made, err
	}
	quoting, _ := d.Quoting()
	statements := dump.Framed(w.set.Dialect, dump.Minus(made.after, before))
	if w.set.Dialect == goose.DialectPostgres && w.scratch.schema == "" {
		statements = slices.Insert(statements, 0, dump.OnlyIn(w.scratch.home))
	}
	made.text = migset.CheckpointText(string(w.set.Dialect), w.covered, statements, quoting)
	return made, w.verify(ctx, made)
}

// inShadow is the error of a run in a database that is dropped: what became of that doesn't matter.
func inShadow(what string, err error) error {
	if failed, ok := errors.AsType[*gooseplus.MigrationError](err); ok {
		err = failed
	}
	return &refusedError{fmt.Errorf("%s: %w", what, err)}
}

// before migrates the namespaces that come first, and returns what is there then.
func (w *checkpointWriter) before(ctx context.Context, d *scratchDatabase) ([]string, error) {
	for _, name := range w.whole.Namespaces() {
		if name == w.namespace {
			break
		}
		if err := w.whole.On(d.db).Namespace(name).Migrate(ctx); err != nil {
			return nil, inShadow(fmt.Sprintf("the migrations of namespace %q, which come first, don't run in the shadow", name), err)
		}
	}
	return d.read(ctx)
}

// verify refuses a checkpoint that doesn't make what the migrations have made.
func (w *checkpointWriter) verify(ctx context.Context, made attempt) error {
	have, err := w.try(ctx, made.text, made)
	if err != nil {
		return err
	}
	have, want := dump.ByName(w.set.Dialect, have), dump.ByName(w.set.Dialect, made.after)
	if lost, more := dump.Minus(want, have), dump.Minus(have, want); len(lost)+len(more) > 0 {
		return &refusedError{fmt.Errorf("%s was not written, because it doesn't make the same rows and definitions: only the migrations make %s, only the checkpoint makes %s",
			w.file, firstOf(lost), firstOf(more))}
	}
	return nil
}

// try runs a checkpoint in another database, compares its objects with those of the database that the migrations have made, and
// returns the statements that make what it has.
func (w *checkpointWriter) try(ctx context.Context, text string, made attempt) (have []string, err error) {
	files, err := w.files(text)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(files)
	other, err := w.scratch.create(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := w.before(ctx, other); err != nil {
		return nil, err
	}
	used := ""
	m := w.chosen(w.whole.On(other.db).With(gooseplus.WithFS(os.DirFS(files)), gooseplus.WithCheckpoints(true),
		gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if e, ok := e.(gooseplus.MigrationStarted); ok && e.Step.Covers > 0 {
				used = e.Step.Source
			}
		})))
	if err := m.MigrateTo(ctx, w.version()); err != nil {
		return nil, inShadow("the checkpoint doesn't run, and was not written", err)
	}
	if used != w.file {
		return nil, &refusedError{fmt.Errorf("%s was not written, because a run begins with %q instead: remove that first", w.file, used)}
	}
	if differences, err := made.steps.differences(ctx, other); err != nil {
		return nil, err
	} else if len(differences) > 0 {
		return nil, &refusedError{fmt.Errorf("%s was not written, because it doesn't make what the migrations make: %s", w.file, strings.Join(differences, "; "))}
	}
	return other.read(ctx)
}

func firstOf(statements []string) string {
	if len(statements) == 0 {
		return "nothing"
	}
	line := []rune(strings.Join(strings.Fields(statements[0]), " "))
	return fmt.Sprintf("%q", string(line[:min(len(line), 200)]))
}

// files are the migrations with the checkpoint, in a folder of their own.
func (w *checkpointWriter) files(text string) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "gooseplus-"); err != nil {
		return "", err
	}
	base := path.Clean(w.set.BasePath)
	err = fs.WalkDir(w.set.FS, base, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // there are only Go migrations
			}
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if entry.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		if ext := strings.ToLower(path.Ext(name)); ext != ".sql" && ext != ".go" {
			return nil
		}
		content, err := fs.ReadFile(w.set.FS, name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o600)
	})
	to := filepath.Join(dir, filepath.FromSlash(w.file))
	err = errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o700))
	return dir, errors.Join(err, os.WriteFile(to, []byte(text), 0o600))
}

// needsShadow says whether scratch databases are made on a server.
func needsShadow(d goose.Dialect) bool { return d != goose.DialectSQLite3 }
