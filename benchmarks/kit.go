package main

import (
	"context"
	crand "crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/gooseplustest"
)

// way is one to a database.
type way struct {
	name, what string
	get        func(context.Context, *kit, *server) (end func(), took time.Duration, err error)
}

// ways are those to a database with 20 migrations for a test. A server that gooseplustest knows already, and templates that
// are there, as in every test but the first of a suite.
var ways = []way{
	{"kit", "gooseplustest.Postgres", func(ctx context.Context, k *kit, _ *server) (func(), time.Duration, error) { return k.lend(ctx) }},
	{"bare", "CREATE DATABASE … TEMPLATE, and one connection", func(ctx context.Context, k *kit, s *server) (func(), time.Duration, error) {
		return k.copy(ctx, s, "")
	}},
	{"file copy", "the same with STRATEGY = FILE_COPY", func(ctx context.Context, k *kit, s *server) (func(), time.Duration, error) {
		return k.copy(ctx, s, " STRATEGY = FILE_COPY")
	}},
	{"goose", "goose on an empty database, with one connection that is open", func(ctx context.Context, k *kit, s *server) (func(), time.Duration, error) {
		return k.fresh(ctx, s, false)
	}},
	{"goose from nothing", "the same with the creation of the database, and the connection", func(ctx context.Context, k *kit, s *server) (func(), time.Duration, error) {
		return k.fresh(ctx, s, true)
	}},
}

// kit is what the ways need.
type kit struct {
	srv      *server
	files    *files // in the folder of an environment
	flat     *files // for goose
	template *database
}

// measureKit measures how long it takes until a test has its database, all ways in turns.
func measureKit(ctx context.Context, c config, srv *server, out, log io.Writer) error {
	list := pending()
	list[0].up[0] += " /* " + crand.Text() + " */" // so that gooseplustest has no template of an earlier run, which is slower to copy
	k := &kit{srv: srv, files: gooseFiles("sql/base")(list), flat: gooseFiles(".")(pending())}
	var err error
	if k.template, err = srv.create(ctx, nil); err != nil {
		return err
	}
	defer k.template.drop()
	db, err := sql.Open("postgres", k.template.dsn)
	if err != nil {
		return err
	}
	err = errors.Join(gooseplus.New(db, gooseplus.WithFS(k.files), gooseplus.WithEnvironments("test")).Migrate(ctx), db.Close())
	if err != nil {
		return err
	}
	// Each way has a connection of its own for the administration, as the kit has: one that is used more often would be
	// the faster one.
	servers := make([]*server, len(ways))
	for i := range ways {
		own := *srv
		if own.admin, err = sql.Open("pgx", srv.dsn.String()); err != nil {
			return err
		}
		defer own.admin.Close()
		servers[i] = &own
	}
	times := make([][]time.Duration, len(ways))
	for round := range c.rounds + 1 {
		for _, i := range rand.Perm(len(ways)) {
			runtime.GC()
			end, took, err := ways[i].get(ctx, k, servers[i])
			if err != nil {
				return fmt.Errorf("%s: %w", ways[i].name, err)
			}
			end()
			if round > 0 { // the first one makes the template
				times[i] = append(times[i], took)
			}
		}
	}
	fmt.Fprintf(log, "  %d rounds done\n", c.rounds)
	fmt.Fprintf(out, "\nkit: a database with 20 migrations for a test (%d measurements each)\n", c.rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "way\tmin\tp10\tmedian\tp90\tkit / it\tpaired\t")
	for i, way := range ways {
		fmt.Fprintf(w, "%s: %s\t%s\t%s\t%s\t%s\t%.2f\t%.2f\t\n", way.name, way.what, milliseconds(percentile(times[i], 0)), milliseconds(percentile(times[i], 10)),
			milliseconds(percentile(times[i], 50)), milliseconds(percentile(times[i], 90)),
			ratio(percentile(times[0], 50), percentile(times[i], 50)), paired(times[0], times[i]))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, body := range []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond} {
		if err := k.measureSuites(ctx, c, body, servers, out, log); err != nil {
			return err
		}
	}
	return nil
}

// suiteTests is how many tests a suite has, one after the other.
const suiteTests = 20

// suiteWay is a way to the databases of a whole suite.
type suiteWay struct {
	name string
	run  bool // TestMain calls gooseplustest.Run
}

// suiteWays are some of ways, by their names.
var suiteWays = []suiteWay{{"kit", true}, {"kit", false}, {"goose", false}, {"goose from nothing", false}}

// measureSuites measures suites of tests, each of which needs nothing of the server and of the processors for a while. In
// such a while gooseplustest.Run has the next database made.
func (k *kit) measureSuites(ctx context.Context, c config, body time.Duration, servers []*server, out, log io.Writer) error {
	ready := make([][]time.Duration, len(suiteWays)) // until the test has its database
	whole := make([][]time.Duration, len(suiteWays)) // of a suite, by the number of its tests
	rounds := max(1, c.rounds/10)
	for range rounds {
		for _, i := range rand.Perm(len(suiteWays)) {
			w, way := suiteWays[i], slices.IndexFunc(ways, func(one way) bool { return one.name == suiteWays[i].name })
			runtime.GC()
			var err error
			tests := suiteFunc(func() int {
				for range suiteTests {
					var end func()
					var took time.Duration
					if end, took, err = ways[way].get(ctx, k, servers[way]); err != nil {
						return 1
					}
					time.Sleep(body)
					end()
					ready[i] = append(ready[i], took)
				}
				return 0
			})
			started, code := time.Now(), 0
			if w.run {
				code = gooseplustest.Run(tests)
			} else {
				code = tests.Run()
			}
			if code != 0 {
				return fmt.Errorf("%s: exit code %d: %w", w.name, code, err)
			}
			whole[i] = append(whole[i], time.Since(started)/suiteTests)
		}
	}
	fmt.Fprintf(log, "  %d rounds of suites done\n", rounds)
	fmt.Fprintf(out, "\nkit: suites of %d tests in a row, each of which works for %v (%d suites)\n", suiteTests, body, rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "way\tmin\tp10\tmedian\tp90\tit / goose\tthe whole, by tests\t")
	goose := percentile(ready[slices.IndexFunc(suiteWays, func(w suiteWay) bool { return w.name == "goose" })], 50)
	for i, way := range suiteWays {
		if way.run {
			way.name += " with Run"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t\n", way.name, milliseconds(percentile(ready[i], 0)), milliseconds(percentile(ready[i], 10)),
			milliseconds(percentile(ready[i], 50)), milliseconds(percentile(ready[i], 90)), ratio(percentile(ready[i], 50), goose),
			milliseconds(percentile(whole[i], 50)))
	}
	return w.Flush()
}

// suiteFunc is what TestMain gets.
type suiteFunc func() int

func (f suiteFunc) Run() int { return f() }

// lend does what the first line of a test does.
func (k *kit) lend(ctx context.Context) (func(), time.Duration, error) {
	t := &suite{ctx: ctx}
	started := time.Now()
	gooseplustest.Postgres(t, k.srv.dsn.String(), gooseplus.WithFS(k.files))
	return t.end, time.Since(started), nil
}

// copy does what nobody can do without.
func (k *kit) copy(ctx context.Context, s *server, strategy string) (func(), time.Duration, error) {
	started := time.Now()
	made, err := s.copy(ctx, k.template, strategy)
	if err != nil {
		return nil, 0, err
	}
	db, err := sql.Open("pgx", made.dsn) // as gooseplustest does where there is pgx
	if err == nil {
		err = db.PingContext(ctx)
	}
	return func() { _ = db.Close(); made.drop() }, time.Since(started), err
}

// fresh has goose migrate a new database. Its creation counts or not.
func (k *kit) fresh(ctx context.Context, s *server, creation bool) (func(), time.Duration, error) {
	started := time.Now()
	made, err := s.create(ctx, nil)
	if err != nil {
		return nil, 0, err
	}
	db, err := sql.Open("pgx", made.dsn) // as gooseplustest does where there is pgx
	if err == nil {
		err = db.PingContext(ctx)
	}
	if err != nil {
		return nil, 0, err
	}
	if !creation {
		started = time.Now()
	}
	err = runGoose(ctx, db, k.flat)
	return func() { _ = db.Close(); made.drop() }, time.Since(started), err
}

// suite is a test outside `go test`: a benchmark of the testing package can't be taken in turns with others.
type suite struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
}

func (s *suite) Helper()                        {}
func (s *suite) Name() string                   { return "kit" }
func (s *suite) Context() context.Context       { return s.ctx }
func (s *suite) Failed() bool                   { return false }
func (s *suite) Cleanup(fn func())              { s.cleanups = append(s.cleanups, fn) }
func (s *suite) Fatal(a ...any)                 { panic(fmt.Sprint(a...)) }
func (s *suite) Errorf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func (s *suite) end() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}
