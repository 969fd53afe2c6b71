package otelgooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/XSAM/otelsql"
	"github.com/pressly/goose/v3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// recording is an SDK in memory.
type recording struct {
	spans  *tracetest.SpanRecorder
	traces *sdktrace.TracerProvider
	reader *metric.ManualReader
	option gooseplus.Option
}

func record(opts ...Option) *recording {
	r := &recording{spans: tracetest.NewSpanRecorder(), reader: metric.NewManualReader()}
	r.traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))
	r.option = WithTelemetry(r.traces, metric.NewMeterProvider(metric.WithReader(r.reader)), opts...)
	return r
}

// tree has a line for each span, below the span above it: its name, some attributes, and its events.
func (r *recording) tree(t *testing.T) string {
	t.Helper()
	if n := len(r.spans.Started()) - len(r.spans.Ended()); n != 0 {
		t.Errorf("%d spans have no end", n)
	}
	below := make(map[trace.SpanID][]sdktrace.ReadOnlySpan)
	for _, s := range r.spans.Started() {
		if strings.HasPrefix(s.Name(), "gooseplus") && s.SpanKind() != trace.SpanKindInternal {
			t.Errorf("%s is of kind %v", s.Name(), s.SpanKind())
		}
		below[s.Parent().SpanID()] = append(below[s.Parent().SpanID()], s)
	}
	var b strings.Builder
	var show func(trace.SpanID, string)
	show = func(of trace.SpanID, indent string) {
		for _, s := range below[of] {
			fmt.Fprintf(&b, "%s%s", indent, strings.TrimPrefix(s.Name(), "gooseplus."))
			for _, key := range []attribute.Key{"gooseplus.tenant", "gooseplus.direction", "gooseplus.version", "gooseplus.outcome", "error.type", "db.query.text"} {
				if v, ok := valueOf(s, key); ok {
					fmt.Fprintf(&b, " %s", v.String())
				}
			}
			if s.Status().Code == codes.Error {
				b.WriteString(" (failed)")
			}
			for _, e := range s.Events() {
				b.WriteString(" +" + strings.TrimPrefix(e.Name, "gooseplus."))
			}
			b.WriteString("\n")
			show(s.SpanContext().SpanID(), indent+"  ")
		}
	}
	show(trace.SpanID{}, "")
	return b.String()
}

func valueOf(s sdktrace.ReadOnlySpan, key attribute.Key) (attribute.Value, bool) {
	set := attribute.NewSet(s.Attributes()...)
	return set.Value(key)
}

// counted are the counters and the numbers of durations, by their attributes.
func (r *recording) counted(t *testing.T) (list []string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	add := func(name string, set attribute.Set, n any) {
		if _, ok := set.Value("gooseplus.tenant"); ok {
			t.Errorf("%s has a tenant", name)
		}
		list = append(list, fmt.Sprintf("%s %s: %v", strings.TrimPrefix(name, "gooseplus."), set.Encoded(attribute.DefaultEncoder()), n))
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Count)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

func want(t *testing.T, got, wanted string) {
	t.Helper()
	if got != strings.TrimLeft(wanted, "\n") {
		t.Errorf("got\n%s\nwant%s", got, wanted)
	}
}

func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", t.TempDir()+"/x.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func folder(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, up := range files {
		table := fmt.Sprintf("t%d", i+1)
		fsys[fmt.Sprintf("sql/base/%d_%s.sql", i+1, table)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\nDROP TABLE " + table + ";\n")}
	}
	return fsys
}

func migrator(db *sql.DB, fsys fstest.MapFS, opts ...gooseplus.Option) *gooseplus.Migrator {
	return gooseplus.New(db, append([]gooseplus.Option{gooseplus.WithDialect("sqlite"), gooseplus.WithFS(fsys)}, opts...)...)
}

func TestRuns(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), context.Background()
	r := record(WithAttributes(attribute.String("db.system.name", "sqlite")))
	for range 2 {
		if err := migrator(db, folder("CREATE TABLE t1 (id INT);"), r.option).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	err := migrator(db, folder("CREATE TABLE t1 (id INT);", "CREATE TABLE t2 (id INT);", "INSERT INTO nowhere VALUES (1);"), r.option).Migrate(ctx)
	if !errors.Is(err, gooseplus.ErrRollForward) {
		t.Fatal(err)
	}
	if err := migrator(db, folder(), r.option, gooseplus.WithTimeout(-1)).Migrate(ctx); err == nil {
		t.Fatal("a fault is none")
	}
	want(t, r.tree(t), `
run migrated
  migration up 1 applied
run up to date
run undone migration INSERT INTO nowhere VALUES (1); (failed)
  migration up 2 applied
  migration up 3 failed *sqlite.Error INSERT INTO nowhere VALUES (1); (failed)
  way_back undone
    migration down 2 undone
run refused *errors.joinError (failed)
`)
	want(t, strings.Join(r.counted(t), "\n"), `
migration.duration db.system.name=sqlite,gooseplus.direction=down,gooseplus.outcome=undone: 1
migration.duration db.system.name=sqlite,gooseplus.direction=up,gooseplus.outcome=applied: 2
migration.duration db.system.name=sqlite,gooseplus.direction=up,gooseplus.outcome=failed: 1
migrations db.system.name=sqlite,gooseplus.direction=down,gooseplus.outcome=undone: 1
migrations db.system.name=sqlite,gooseplus.direction=up,gooseplus.outcome=applied: 2
migrations db.system.name=sqlite,gooseplus.direction=up,gooseplus.outcome=failed: 1
run.duration db.system.name=sqlite,gooseplus.outcome=migrated: 1
run.duration db.system.name=sqlite,gooseplus.outcome=refused: 1
run.duration db.system.name=sqlite,gooseplus.outcome=undone: 1
run.duration db.system.name=sqlite,gooseplus.outcome=up to date: 1`)
}

// TestWaitForTheLock: the second run begins when the first one is in its migration, which ends when the second one waits.
func TestWaitForTheLock(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/x.db"
	pool := func() *sql.DB {
		db, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	inside, waits := make(chan struct{}), make(chan struct{})
	slow := gooseplus.WithGoMigrations(goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
		close(inside)
		<-waits
		return nil
	}}, nil))
	done := make(chan error, 1)
	go func() {
		done <- migrator(pool(), folder(), slow, gooseplus.WithGlobalLock(true)).Migrate(context.Background())
	}()
	<-inside
	r := record()
	err := migrator(pool(), folder(), slow, gooseplus.WithGlobalLock(true), r.option, gooseplus.WithObserver(func(ctx context.Context, e gooseplus.Event) {
		if _, ok := e.(gooseplus.LockWaiting); ok {
			if name := trace.SpanFromContext(ctx).(sdktrace.ReadOnlySpan).Name(); name != "gooseplus.lock_wait" {
				t.Errorf("other observers are in %s", name)
			}
			close(waits)
		}
	})).Migrate(context.Background())
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	want(t, r.tree(t), `
run up to date
  lock_wait
`)
	want(t, strings.Join(r.counted(t), "\n"), `
lock_wait.duration gooseplus.outcome=obtained: 1
run.duration gooseplus.outcome=up to date: 1`)
}

func TestManyStepsAreEvents(t *testing.T) {
	t.Parallel()
	var list []string
	for i := range spansUpTo + 1 {
		list = append(list, fmt.Sprintf("CREATE TABLE t%d (id INT);", i+1))
	}
	r := record()
	if err := migrator(open(t), folder(list...), r.option).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(r.spans.Ended()); n != 1 || len(r.spans.Ended()[0].Events()) != spansUpTo+1 {
		t.Errorf("%d spans:\n%s", n, r.tree(t))
	}
}

// TestTenants has the run of each tenant below the call, and the call linked to a rollout elsewhere.
func TestTenants(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source := iter.Seq2[gooseplus.Tenant, error](func(yield func(gooseplus.Tenant, error) bool) {
		for _, name := range []string{"a", "b"} {
			open := func(context.Context) (*sql.DB, error) { return sql.Open("sqlite", dir+"/"+name+".db") }
			if !yield(gooseplus.Tenant{Name: name, Open: open}, nil) {
				return
			}
		}
	})
	rollout := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true})
	r := record()
	ctx := ContextWithLink(context.Background(), rollout)
	_, err := migrator(nil, folder("CREATE TABLE t1 (id INT);"), r.option).MigrateTenants(ctx, source, gooseplus.WithConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	want(t, r.tree(t), `
tenants
  run a migrated
    migration a up 1 applied
  run b migrated
    migration b up 1 applied
`)
	for _, s := range r.spans.Ended() {
		linked := len(s.Links()) == 1 && s.Links()[0].SpanContext.Equal(rollout)
		if isMigration := s.Name() == "gooseplus.migration"; linked == isMigration {
			t.Errorf("%s has the links %v", s.Name(), s.Links())
		}
	}
	if got := r.counted(t); !slices.Contains(got, "tenants gooseplus.state=migrated: 2") {
		t.Errorf("metrics:\n%s", strings.Join(got, "\n"))
	}
}

// TestBatch has one span for migrations that run together. If they fail together, their own spans follow.
func TestBatch(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/a.db"
	a := gooseplus.Tenant{Name: "a", Open: func(context.Context) (*sql.DB, error) { return sql.Open("sqlite", file) }}
	r := record()
	if err := migrator(nil, folder("CREATE TABLE t1 (id INT);", "CREATE TABLE nosuch.t2 (id INT);"), r.option).Provision(t.Context(), a); err == nil {
		t.Fatal("a migration that can't run has run")
	}
	if err := migrator(nil, folder("CREATE TABLE t1 (id INT);", "CREATE TABLE t2 (id INT);"), r.option).Provision(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	want(t, r.tree(t), `
run a undone migration CREATE TABLE nosuch.t2 (id INT); (failed)
  batch a 2 failed *sqlite.Error (failed)
  migration a up 1 applied
  migration a up 2 failed *sqlite.Error CREATE TABLE nosuch.t2 (id INT); (failed)
  way_back a undone
    migration a down 1 undone
run a migrated
  batch a 2 applied
`)
	if got := r.counted(t); !slices.Contains(got, "migrations gooseplus.direction=up,gooseplus.outcome=applied: 3") {
		t.Errorf("metrics:\n%s", strings.Join(got, "\n"))
	}
}

// TestNamespaces has one span for the run over all of them.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{}
	for _, name := range []string{"core", "shared"} {
		fsys["sql/"+name+"/1_a.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE " + name + " (id INT);\n-- +goose Down\nDROP TABLE " + name + ";\n")}
	}
	r := record()
	if err := migrator(open(t), fsys, r.option, gooseplus.WithNamespaces("core", "shared")).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	want(t, r.tree(t), `
run migrated +namespace +namespace
  migration up 1 applied
  migration up 1 applied
`)
}

// TestStatementsNest: the spans of an instrumented driver stand below the migration that they belong to.
func TestStatementsNest(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgres", "pgx"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			dsn, dialect := t.TempDir()+"/x.db", "sqlite"
			if driver != "sqlite" {
				dsn, dialect = dbtest.Postgres(t).NewDatabase(t).DSN, "postgres"
			}
			r := record()
			db, err := otelsql.Open(driver, dsn, otelsql.WithTracerProvider(r.traces))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			function := gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO t1 VALUES (2)")
				return err
			}}, nil))
			m := gooseplus.New(db, gooseplus.WithDialect(dialect), gooseplus.WithFS(folder("CREATE TABLE t1 (id INT);")), function, r.option, gooseplus.WithGlobalLock(true))
			if err := m.Migrate(context.Background()); err != nil {
				t.Fatal(err)
			}
			names := make(map[trace.SpanID]string)
			for _, s := range r.spans.Started() {
				names[s.SpanContext().SpanID()] = s.Name()
			}
			found := make(map[string]string)
			for _, s := range r.spans.Ended() {
				for _, key := range []attribute.Key{"db.statement", "db.query.text"} {
					if v, ok := valueOf(s, key); ok {
						found[strings.TrimSuffix(v.AsString(), ";")] = names[s.Parent().SpanID()]
					}
				}
			}
			for _, statement := range []string{"CREATE TABLE t1 (id INT)", "INSERT INTO t1 VALUES (2)"} {
				if found[statement] != "gooseplus.migration" {
					t.Errorf("%s is below %q", statement, found[statement])
				}
			}
		})
	}
}
