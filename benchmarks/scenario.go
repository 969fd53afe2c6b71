package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"time"
)

// A scenario is one way in which a service meets its migrations. Each measurement is a whole boot: the migration library
// is constructed over the file system, and told to migrate.
type scenario struct {
	name  string
	what  string
	known int // migrations that are applied before the clock starts, less than all by so many
	cold  bool
	// boots is how many measurements of each peer make a round. They follow each other on one database, so only a
	// scenario that leaves the database as it was can have more than one.
	boots int
	// databases is how many databases each peer gets in a round.
	databases int
	// migrations is what replicas boot on at once; nil where there is only one.
	migrations func() []migration
}

func (s scenario) String() string { return s.name }

const none = -1

var scenarios = []scenario{
	{name: "fresh", what: "apply %d migrations to an empty database", known: none, boots: 1, databases: 1},
	{name: "boot", what: "boot with %d migrations known and nothing pending, on a connection that is open", boots: 100, databases: 1},
	{name: "cold", what: "boot with %d migrations known and nothing pending, on a new connection", cold: true, boots: 20, databases: 1},
	{name: "one", what: "apply the last of %d migrations", known: 1, boots: 1, databases: 5},
	{name: "replicas", what: "50 replicas boot at once on an empty database with 20 migrations: until the last is done",
		migrations: pending},
	{name: "index", what: "the same with one CREATE INDEX CONCURRENTLY among the migrations",
		migrations: func() []migration { return concurrently(pending()) }},
}

func (s scenario) title(c config) string {
	if s.migrations != nil {
		return fmt.Sprintf("%s (%d measurements a peer)", s.what, c.rounds)
	}
	n := c.n
	if s.known == 1 {
		n++
	}
	return fmt.Sprintf(s.what, n) + fmt.Sprintf(" (%d measurements a peer)", c.rounds*s.boots*s.databases)
}

// bench measures peers on one server.
type bench struct {
	srv       *server
	config    config
	templates map[string]*database // by peer: n migrations applied
}

func newBench(srv *server, c config) *bench {
	return &bench{srv: srv, config: c, templates: make(map[string]*database)}
}

// close drops the templates.
func (b *bench) close() {
	for _, t := range b.templates {
		t.drop()
	}
}

// measure returns the times of each peer, in the order in which they were measured: the i-th times of all peers were
// taken next to each other.
func (b *bench) measure(ctx context.Context, s scenario, log io.Writer) (map[string][]time.Duration, error) {
	results := make(map[string][]time.Duration)
	for round := range b.config.rounds {
		for range s.databases {
			if err := b.round(ctx, s, results); err != nil {
				return nil, err
			}
		}
		fmt.Fprintf(log, "  round %d done\n", round+1)
	}
	return results, nil
}

// A contender is a peer with its database in one round.
type contender struct {
	peer
	files *files
	db    *database
	open  connection
}

// round gives every peer a new database and then lets them take turns, each turn in another order, so that nobody always
// runs on the caches that the same other peer leaves behind.
func (b *bench) round(ctx context.Context, s scenario, results map[string][]time.Duration) (err error) {
	var all []*contender
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	for _, i := range rand.Perm(len(b.config.peers)) {
		p := b.config.peers[i]
		c, err := b.contender(ctx, s, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		all = append(all, c)
	}
	b.srv.checkpoint(ctx) // what the preparation left is not part of anybody's time
	for range s.boots {
		for _, i := range rand.Perm(len(all)) {
			c := all[i]
			var took time.Duration
			runtime.GC() // nor is what the peer before left
			pprof.Do(ctx, pprof.Labels("peer", c.name, "scenario", s.name), func(ctx context.Context) {
				took, err = c.boot(ctx, s.cold)
			})
			if err != nil {
				return fmt.Errorf("%s: %w", c.peer, err)
			}
			results[c.name] = append(results[c.name], took)
		}
	}
	for _, c := range all {
		if err := c.check(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.peer, err)
		}
	}
	return nil
}

func (b *bench) contender(ctx context.Context, s scenario, p peer) (_ *contender, err error) {
	c := &contender{peer: p, files: p.format(makeMigrations(b.config.n))}
	var template *database
	if s.known != none {
		if template, err = b.template(ctx, p); err != nil {
			return nil, err
		}
		c.files = p.format(makeMigrations(b.config.n + s.known))
	}
	if c.db, err = b.srv.create(ctx, template); err != nil {
		return nil, err
	}
	if s.cold {
		return c, nil
	}
	if c.open, err = p.connect(ctx, c.db.dsn); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// template returns a database in which the peer has applied n migrations. Nobody is connected to it, so that it can be
// copied.
func (b *bench) template(ctx context.Context, p peer) (*database, error) {
	if t, ok := b.templates[p.name]; ok {
		return t, nil
	}
	t, err := b.srv.create(ctx, nil)
	if err != nil {
		return nil, err
	}
	b.templates[p.name] = t
	conn, err := p.connect(ctx, t.dsn)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	return t, conn.migrate(ctx, p.format(makeMigrations(b.config.n)))
}

// boot is one measurement.
func (c *contender) boot(ctx context.Context, cold bool) (time.Duration, error) {
	if !cold {
		started := time.Now()
		err := c.open.migrate(ctx, c.files)
		return time.Since(started), err
	}
	started := time.Now()
	conn, err := c.connect(ctx, c.db.dsn)
	if err != nil {
		return 0, err
	}
	err = conn.migrate(ctx, c.files)
	took := time.Since(started)
	conn.close()
	return took, err
}

// check makes sure that the time was not won by doing less.
func (c *contender) check(ctx context.Context) error {
	got, err := c.db.tables(ctx)
	if want := c.files.tables; err == nil && got != want {
		err = fmt.Errorf("the database has %d tables of the migrations, and should have %d", got, want)
	}
	return err
}

func (c *contender) close() {
	if c.open.close != nil {
		c.open.close()
	}
	c.db.drop()
}
