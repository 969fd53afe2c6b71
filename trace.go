package gooseplus

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/catalog"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/locks"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/session"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Trace is for package gooseplustest and for the command trace. It applies all migrations, each in its own transaction, to
// shadow, a database of the same kind that must be empty, and returns what their statements locked. If one fails, the report
// ends with it. Trace is no part of the API: it may change in any release.
func (m *Migrator) Trace(ctx context.Context, shadow *sql.DB) (locks.Report, error) {
	made, err := m.With(WithCheckpoints(false)).shadow(shadow)
	if err != nil { // files may be gone that a checkpoint stands for
		made, err = m.shadow(shadow)
	}
	if err != nil {
		return locks.Report{}, err
	}
	known, err := made.resolve()
	if err != nil {
		return locks.Report{}, err
	}
	recorder, err := locks.NewRecorder(known.whole.dialect.Goose)
	if err != nil {
		return locks.Report{}, err
	}
	reached, leave := known.whole.reach(shadow)
	defer leave()
	there, err := catalog.Read(ctx, reached.own, catalog.Scope{Dialect: known.whole.dialect.Goose})
	if err == nil {
		err = mustBeEmpty(there)
	}
	if err != nil {
		return locks.Report{}, m.named(err)
	}
	t := &tracer{recorder: recorder, known: known}
	made.options.globalLock, made.options.rollback = false, RollbackNone
	made.options.observers = []func(context.Context, Event){t.observe}
	made.options.trace = t.before
	err = made.Migrate(ctx)
	if failed, ok := errors.AsType[*MigrationError](err); ok {
		err = failed // what became of the shadow doesn't matter
	}
	if err != nil {
		err = fmt.Errorf("the migrations don't run in the shadow: %w", err)
	}
	return recorder.Report(), err
}

// tracer tells a recorder which migration a statement belongs to.
type tracer struct {
	recorder *locks.Recorder
	known    *targets
	set      *migset.Set // of the migration that runs, as the fields below
	version  int64
	name     string   // for statements that are in no file
	sources  []string // the files of its functions
}

func (t *tracer) observe(_ context.Context, e Event) {
	started, ok := e.(MigrationStarted)
	if !ok {
		return
	}
	step := started.Step
	for _, part := range t.known.parts {
		if part.set.Namespace == step.Namespace {
			t.set = part.set
		}
	}
	t.version, t.name, t.sources = step.Version, cmp.Or(step.Source, fmt.Sprintf("migration %d", step.Version)), t.set.CompiledIn(step.Version)
	t.recorder.Start(locks.Migration{Namespace: step.Namespace, Version: step.Version, Source: step.Source, AllowLock: reasonOf(t.set, step.Version)})
}

// reasonOf is the reason why the locks of a migration are allowed, by its own file or by that of a higher version; "" if they aren't.
func reasonOf(set *migset.Set, version int64) (reason string) {
	for _, m := range set.List {
		if m.Version < version || reason != "" {
			continue
		}
		if a := allowance(set, m.Version); a.Lower || m.Version == version {
			reason = a.Reason
		}
	}
	return reason
}

func allowance(set *migset.Set, version int64) envfs.Allowance {
	sum, _ := set.Sum(version) // the run has read the file
	a := sum.AllowLock
	for _, file := range set.CompiledIn(version) {
		if text, err := os.ReadFile(file); err == nil && a.Reason == "" { // where the program was not compiled, there is none
			a = envfs.AllowLock(string(text))
		}
	}
	return a
}

func (t *tracer) before(_ context.Context, s session.Traced) (func(time.Duration, error) error, error) {
	if t.set == nil {
		return nil, errors.New("a statement was executed before any migration")
	}
	statement := locks.Statement{Text: s.Query}
	statement.File, statement.Line = t.set.Files.Line(t.version, s.Query, false, true, 0, sqltext.Occurrence{})
	if len(t.sources) > 0 {
		statement.File, statement.Line = t.caller()
	}
	statement.File = cmp.Or(statement.File, t.name)
	return t.recorder.Before(statement, s.InTransaction, s.Ask)
}

// caller is the line of a Go migration that executes a statement: in one of its own files, or else the first one outside of
// database/sql and of this library.
func (t *tracer) caller() (file string, line int) {
	callers := make([]uintptr, 100)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if slices.Contains(t.sources, frame.File) {
			return shortened(frame.File), frame.Line
		}
		if file == "" && !strings.HasPrefix(frame.Function, "database/sql.") && !strings.HasPrefix(frame.Function, library) {
			file, line = shortened(frame.File), frame.Line
		}
	}
	return file, line
}

const library = "github.com/gooseplus/gooseplus/internal/"

// shortened is a file below the working directory, or its name.
func shortened(file string) string {
	if dir, err := os.Getwd(); err == nil {
		if short, err := filepath.Rel(dir, file); err == nil && filepath.IsLocal(short) {
			return filepath.ToSlash(short)
		}
	}
	return filepath.Base(file)
}
