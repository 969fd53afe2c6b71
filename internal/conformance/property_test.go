package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestStartOrTarget makes up sets of namespaces, environments and late versions, of which an earlier release is
// applied, and has one step of the next release fail, or none. The database has to end at its starting point or at
// the target, and never between; and once the step is repaired, at the target.
func TestStartOrTarget(t *testing.T) {
	t.Parallel()
	for _, x := range having().oneDriverEach(t, 0) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			short, full := 8, 300
			if x.dialect == "sqlite" {
				short, full = 101, 5000
			}
			rounds, random := chaos(t, short, full)
			seen := make(map[string]int)
			for i := range rounds {
				c := x.makeUp(rand.New(rand.NewPCG(random.Uint64(), 0)))
				t.Run(fmt.Sprint(i+1), func(t *testing.T) { c.check(t, x.place(t), seen) })
				if t.Failed() {
					t.Fatalf("the case that failed is\n%v", c)
				}
			}
			t.Logf("%d cases: %v", rounds, seen)
			for _, situation := range []string{"failed", "succeeded", "late", "namespaces", "none", "locked", "in one transaction"} {
				if seen[situation] == 0 && rounds > 100 && (x.transactionalDDL || situation != "in one transaction") { // else it may be by chance
					t.Errorf("no case was %q: the test shows less than it should", situation)
				}
			}
		})
	}
}

// madeUp is a case.
type madeUp struct {
	namespaces   []string // nil: without
	environments []string
	lock, inOne  bool
	steps        []*madeUpStep // in the order in which they run
}

// madeUpStep is a migration.
type madeUpStep struct {
	namespace, environment string
	version                int64
	id                     int64  // no other step has it
	name                   string // of its table
	style                  string
	needs                  string // a table that it writes to
	earlier                bool   // it is in the earlier release
	fails                  int    // in this statement of its Up, from 1; 0 if it doesn't
}

func (c *madeUp) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "namespaces %q, environments %q, lock %t, in one transaction %t", c.namespaces, c.environments, c.lock, c.inOne)
	for _, s := range c.steps {
		fmt.Fprintf(&b, "\n%+v", *s)
	}
	return b.String()
}

func (x target) makeUp(random *rand.Rand) *madeUp {
	c := &madeUp{environments: []string{"base"}, lock: random.IntN(2) == 0, inOne: x.transactionalDDL && random.IntN(4) == 0}
	for _, e := range []string{"demo", "test"} {
		if random.IntN(2) == 0 {
			c.environments = append(c.environments, e)
		}
	}
	places := []string{""}
	if n := random.IntN(5); n > 0 {
		all := []string{"core", "customer-mgmt", "identity", "Shared Things", "x.y"}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		c.namespaces = all[:n]
		places = c.namespaces
	}
	for i, namespace := range places {
		direct := namespace != "" && random.IntN(3) == 0
		versions := random.Perm(12)[:random.IntN(6)]
		slices.Sort(versions)
		for _, v := range versions {
			s := &madeUpStep{namespace: namespace, version: int64(v + 1), id: int64(100*i + v + 1), name: fmt.Sprintf("t%d_%02d", i, v+1), earlier: random.IntN(2) == 0}
			if !direct {
				s.environment = c.environments[random.IntN(len(c.environments))]
			}
			s.style = []string{"script", "pair", "apart"}[random.IntN(3)]
			if c.inOne && s.style == "apart" || x.dialect == "mysql" && s.style == "pair" { // where one text is one statement
				s.style = "script"
			}
			c.need(random, s)
			c.steps = append(c.steps, s)
		}
	}
	if pending := c.pending(); len(pending) > 0 && random.IntN(4) > 0 {
		pending[random.IntN(len(pending))].fails = 1 + random.IntN(3)
	}
	return c
}

// need has a step write to the table of one that comes before it in both releases.
func (c *madeUp) need(random *rand.Rand, s *madeUpStep) {
	var before []string
	for _, b := range c.steps {
		// Within a namespace a late version would not be there yet.
		if b.namespace != s.namespace && (b.earlier || !s.earlier) {
			before = append(before, b.name)
		}
	}
	if len(before) > 0 && random.IntN(2) == 0 {
		s.needs = before[random.IntN(len(before))]
	}
}

func (c *madeUp) pending() (list []*madeUpStep) {
	for _, s := range c.steps {
		if !s.earlier {
			list = append(list, s)
		}
	}
	return list
}

// late says whether a pending step is lower than one of the earlier release.
func (c *madeUp) late() bool {
	return slices.ContainsFunc(c.steps, func(s *madeUpStep) bool {
		return !s.earlier && slices.ContainsFunc(c.steps, func(b *madeUpStep) bool {
			return b.earlier && b.namespace == s.namespace && b.version > s.version
		})
	})
}

// files are those of the earlier release, or all; broken or repaired.
func (c *madeUp) files(all, broken bool) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, name := range c.namespaces {
		fsys["sql/"+name+"/about.md"] = &fstest.MapFile{}
	}
	fsys["sql/base/about.md"] = &fstest.MapFile{}
	for _, s := range c.steps {
		if !all && !s.earlier {
			continue
		}
		dir := "sql/"
		for _, folder := range []string{s.namespace, s.environment} {
			if folder != "" {
				dir += folder + "/"
			}
		}
		for name, f := range s.files(broken) {
			fsys[dir+name] = f
		}
	}
	return fsys
}

func (s *madeUpStep) files(broken bool) map[string]*fstest.MapFile {
	up := []string{"CREATE TABLE " + s.name + " (id INTEGER)"}
	down := []string{"DROP TABLE IF EXISTS " + s.name}
	if s.needs != "" {
		up = append(up, fmt.Sprintf("INSERT INTO %s VALUES (%d)", s.needs, s.id))
		down = append(down, fmt.Sprintf("DELETE FROM %s WHERE id = %d", s.needs, s.id))
	}
	if broken && s.fails > 0 {
		up = slices.Insert(up, min(s.fails-1, len(up)), "INSERT INTO nowhere VALUES (1)")
	}
	text := func(statements []string) string { return strings.Join(statements, ";\n") + ";" }
	name := fmt.Sprintf("%02d_%s", s.version, s.name)
	switch s.style {
	case "apart":
		return map[string]*fstest.MapFile{name + ".sql": noTransaction(text(up), text(down))}
	case "pair":
		return map[string]*fstest.MapFile{name + ".up.sql": {Data: []byte(text(up))}, name + ".down.sql": {Data: []byte(text(down))}}
	}
	return map[string]*fstest.MapFile{name + ".sql": script(text(up), text(down))}
}

func (c *madeUp) migrator(p *place, fsys fstest.MapFS) *gooseplus.Migrator {
	options := []gooseplus.Option{from(fsys), gooseplus.SetEnvironments(c.environments), gooseplus.WithGlobalLock(c.lock)}
	if c.namespaces != nil {
		options = append(options, gooseplus.WithNamespaces(c.namespaces...))
	}
	if c.inOne {
		options = append(options, inOne)
	}
	return p.migrator(options...)
}

// holds is what the database has: the versions of each namespace, the tables, and their rows.
func (c *madeUp) holds(t *testing.T, p *place) string {
	t.Helper()
	var b strings.Builder
	tables := column[string](t, p.db, p.target.tables)
	history := []string{"goose_db_version"}
	if c.namespaces != nil {
		history = nil
	}
	for _, name := range c.namespaces {
		history = append(history, "goose_db_version_"+name)
	}
	for _, name := range history {
		var versions []int64
		if _, err := p.db.Exec("SELECT 1 FROM " + p.quoted(name)); err == nil {
			versions = column[int64](t, p.db, "SELECT version_id FROM "+p.quoted(name)+" WHERE version_id > 0 ORDER BY 1")
		}
		fmt.Fprintln(&b, name, versions)
	}
	for _, name := range tables {
		fmt.Fprintln(&b, name, column[int64](t, p.db, "SELECT id FROM "+name+" ORDER BY 1"))
	}
	return b.String()
}

// want is what holds has to say when the release is applied.
func (c *madeUp) want(all bool) string {
	places := c.namespaces
	if places == nil {
		places = []string{""}
	}
	var b strings.Builder
	rows := make(map[string][]int64)
	for _, namespace := range places {
		var versions []int64
		for _, s := range c.steps {
			if s.namespace != namespace || !all && !s.earlier {
				continue
			}
			versions = append(versions, s.version)
			if s.needs != "" {
				rows[s.needs] = append(rows[s.needs], s.id)
			}
		}
		name := "goose_db_version"
		if namespace != "" {
			name += "_" + namespace
		}
		fmt.Fprintln(&b, name, versions)
	}
	var tables []string
	for _, s := range c.steps {
		if all || s.earlier {
			tables = append(tables, s.name)
		}
	}
	slices.Sort(tables)
	for _, name := range tables {
		slices.Sort(rows[name])
		fmt.Fprintln(&b, name, rows[name])
	}
	return b.String()
}

func (c *madeUp) check(t *testing.T, p *place, seen map[string]int) {
	ctx := context.Background()
	if err := c.migrator(p, c.files(false, false)).Migrate(ctx); err != nil {
		t.Fatalf("the earlier release: %v", err)
	}
	if got := c.holds(t, p); got != c.want(false) {
		t.Fatalf("the earlier release has\n%swant\n%s", got, c.want(false))
	}
	broken := slices.ContainsFunc(c.steps, func(s *madeUpStep) bool { return s.fails > 0 })
	err := c.migrator(p, c.files(true, true)).Migrate(ctx)
	switch {
	case broken && (!errors.Is(err, gooseplus.ErrRollForward) || errors.Is(err, gooseplus.ErrRollBack)), !broken && err != nil:
		t.Errorf("the next release: %v", err)
	}
	if got := c.holds(t, p); got != c.want(!broken) {
		t.Errorf("after %v the database has\n%swant\n%s", err, got, c.want(!broken))
	}
	if left := (record{p}).dirty(t); len(left) > 0 {
		t.Errorf("marked: %q", left)
	}
	if err := c.migrator(p, c.files(true, false)).Migrate(ctx); err != nil {
		t.Errorf("the repaired release: %v", err)
	}
	if got := c.holds(t, p); got != c.want(true) {
		t.Errorf("the repaired release has\n%swant\n%s", got, c.want(true))
	}
	for situation, is := range map[string]bool{"failed": broken, "succeeded": !broken, "late": c.late(), "namespaces": c.namespaces != nil,
		"none": c.namespaces == nil, "locked": c.lock, "in one transaction": c.inOne} {
		if is {
			seen[situation]++
		}
	}
}
