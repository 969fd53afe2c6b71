package conformance

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// wantNoRole asserts that no connection that the bouncer keeps has a role or a search_path of its own.
func (b *bounced) wantNoRole(t *testing.T) {
	t.Helper()
	for _, tx := range b.allConnections(t) {
		var is string
		if err := tx.QueryRow("SELECT current_setting('role') || ' ' || current_setting('search_path') || ' ' || current_setting('lock_timeout')").Scan(&is); err != nil {
			t.Fatal(err)
		}
		if want := `none "$user", public 0`; is != want {
			t.Errorf("a connection of the bouncer is %q, want %q", is, want)
		}
	}
}

// TestSettingsBehindPgBouncer: a statement outside a transaction that needs a role, a schema or timeouts is refused, since each
// statement may be executed on another connection of the server. Without them it is executed.
func TestSettingsBehindPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onBouncers(t, 5, func(t *testing.T, b *bounced) {
		o := b.p.owned(t)
		b.p.exec(t, "CREATE SCHEMA tenant")
		role, schema := gooseplus.WithRole(o.owner), gooseplus.WithSchema("tenant")
		concurrently := from(files(map[string]*fstest.MapFile{
			"1_a.sql": table("a"),
			"2_b.sql": noTransaction("CREATE INDEX CONCURRENTLY a_id ON a (id);", "DROP INDEX CONCURRENTLY IF EXISTS a_id;"),
		}))
		inGo := gooseplus.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "CREATE TABLE apart (id INTEGER)")
			return err
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}))
		for name, opts := range map[string][]gooseplus.Option{
			"role":     {role, concurrently},
			"schema":   {schema, concurrently},
			"timeouts": {gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Lock: time.Second}), concurrently},
			"go":       {role, from(chain(1)), inGo},
		} {
			for _, lock := range []bool{true, false} {
				m := b.p.locking(b.instance(t), append(opts, gooseplus.WithGlobalLock(lock), gooseplus.WithVersionTable("versions_"+name), gooseplus.WithForeignHistory(gooseplus.Ignore))...)
				err := m.Migrate(ctx)
				if err == nil {
					t.Fatalf("%s: nothing was refused", name)
				}
				wantIs(t, err, gooseplus.ErrRollForward)
				wantText(t, err, "migrate over a direct connection")
			}
		}
		if left := column[string](t, b.p.db, "SELECT relname FROM pg_class WHERE relname IN ('a', 'a_id', 'apart', 't001')"); len(left) > 0 {
			t.Errorf("left are %q", left)
		}
		if err := b.p.locking(b.instance(t), concurrently, gooseplus.WithVersionTable("versions_plain"), gooseplus.WithForeignHistory(gooseplus.Ignore)).Migrate(ctx); err != nil {
			t.Error(err)
		}
		b.wantNoRole(t)
	})
}

// TestSettingsOverOneConnection: with a pool of one connection too, a statement outside a transaction that needs settings is
// executed over a direct connection, and refused where a pooler is in between.
func TestSettingsOverOneConnection(t *testing.T) {
	t.Parallel()
	onBouncers(t, 5, func(t *testing.T, b *bounced) {
		b.p.exec(t, "CREATE SCHEMA tenant")
		m := func(db *sql.DB) *gooseplus.Migrator {
			db.SetMaxOpenConns(1)
			return b.p.over(db, gooseplus.WithSchema("tenant"), from(files(map[string]*fstest.MapFile{
				"1_a.sql": table("a"),
				"2_b.sql": noTransaction("CREATE INDEX CONCURRENTLY a_id ON a (id);", "DROP INDEX CONCURRENTLY IF EXISTS a_id;"),
			})))
		}
		err := m(b.instance(t)).Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrRollForward)
		wantText(t, err, "a pooler")
		if left := column[string](t, b.p.db, "SELECT relname FROM pg_class WHERE relname IN ('a', 'a_id')"); len(left) > 0 {
			t.Errorf("left are %q", left)
		}
		if err := m(b.p.instance(t)).Migrate(context.Background()); err != nil {
			t.Error(err)
		}
		b.wantNoRole(t)
	})
}

// roleContexts are two namespaces, in which every kind of migration notes as whom it works. The last one runs outside a transaction.
func roleContexts(outside bool) fstest.MapFS {
	set := fstest.MapFS{
		"sql/first/1_worked.sql":  script("CREATE TABLE worked (v INTEGER, who TEXT DEFAULT current_user);", "DROP TABLE worked;"),
		"sql/first/2_more.sql":    script("INSERT INTO worked VALUES (2);", "DELETE FROM worked WHERE v = 2;"),
		"sql/first/3_hostile.sql": script("INSERT INTO worked VALUES (3);\nSET ROLE NONE;", "DELETE FROM worked WHERE v = 3;"),
		"sql/second/1_next.sql":   script("INSERT INTO worked VALUES (11);", "DELETE FROM worked WHERE v = 11;"),
		"sql/second/2_last.sql":   script("INSERT INTO worked VALUES (12);", "DELETE FROM worked WHERE v = 12;"),
	}
	if outside {
		set["sql/second/2_last.sql"] = noTransaction("INSERT INTO worked VALUES (12);\nCREATE INDEX CONCURRENTLY worked_v ON worked (v);",
			"DROP INDEX CONCURRENTLY IF EXISTS worked_v;\nDELETE FROM worked WHERE v = 12;")
	}
	return set
}

// ways has schemas migrated with the role in all ways that there are, several of them in one transaction, and taken down by the iterator.
func (p *ownerPlace) ways(t *testing.T, db *sql.DB, outside bool) {
	t.Helper()
	ctx := context.Background()
	at := &fleetPlace{place: p.place}
	names := at.names(6)
	var batches int
	m := p.migrator(db, from(roleContexts(outside)), gooseplus.WithNamespaces("first", "second"), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if e, ok := e.(gooseplus.BatchFinished); ok && e.Err == nil {
			batches++
		}
	}))
	if err := m.Provision(ctx, gooseplus.Tenant{Schema: names[0]}); err != nil {
		t.Fatal(err)
	}
	r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithCreateSchema(true))
	if err != nil {
		t.Fatal(err)
	}
	wantReport(t, r, 6, 5, 1, 0, 0)
	if batches < 6 {
		t.Errorf("%d batches: not all tenants were made by one", batches)
	}
	for _, name := range names {
		all := column[string](t, p.db, "SELECT v || ' ' || who FROM "+at.quote(name)+".worked ORDER BY v")
		want := []string{"2 " + p.owner, "3 " + p.owner, "11 " + p.owner, "12 " + p.owner}
		if !slices.Equal(all, want) {
			t.Errorf("%s: worked %q, want %q", name, all, want)
		}
	}
	p.wantOwned(t)
	for tm, err := range m.Tenants(ctx, gooseplus.Schemas(names...)) {
		if err != nil {
			t.Fatal(err)
		}
		for _, namespace := range []string{"second", "first"} {
			if err := tm.Namespace(namespace).RollbackTo(ctx, 0); err != nil {
				t.Error(err)
			}
		}
	}
	if n := column[int](t, p.db, "SELECT count(*) FROM pg_class WHERE relname = 'worked'")[0]; n > 0 {
		t.Errorf("%d tenants still have the table", n)
	}
}

// TestRoleOfNamespaces: whatever is executed in whichever way, it is the owner who works, and no connection keeps the role.
func TestRoleOfNamespaces(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		o := p.owned(t)
		db := o.user.open(t)
		o.ways(t, db, true)
		o.wantAsBefore(t, db)
	})
}

// TestRoleBehindPgBouncer is the same for what is in transactions.
func TestRoleBehindPgBouncer(t *testing.T) {
	t.Parallel()
	onBouncers(t, 5, func(t *testing.T, b *bounced) {
		o := b.p.owned(t)
		o.ways(t, b.instance(t), false)
		b.wantNoRole(t)
	})
}
