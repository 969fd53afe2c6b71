package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// histories are what other tools write, by name: how a person would have left version 2 of it behind. text is what
// the error has to say of it.
var histories = map[string]struct {
	setup []string
	text  string
	dirty bool
}{
	"golang-migrate":             {[]string{"CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)", "INSERT INTO schema_migrations VALUES (2, FALSE)"}, "Force(2)", false},
	"golang-migrate, dirty":      {[]string{"CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)", "INSERT INTO schema_migrations VALUES (2, TRUE)"}, "dirty", true},
	"golang-migrate, first":      {[]string{"CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)", "INSERT INTO schema_migrations VALUES (-1, TRUE)"}, "at version -1 and says that it has failed there (dirty)", true},
	"golang-migrate, renamed":    {[]string{"CREATE TABLE our_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)", "INSERT INTO our_migrations VALUES (2, FALSE)"}, "Force(2)", false},
	"golang-migrate, upper case": {[]string{"CREATE TABLE SCHEMA_MIGRATIONS (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)", "INSERT INTO SCHEMA_MIGRATIONS VALUES (2, FALSE)"}, "Force(2)", false},
	"Flyway": {[]string{"CREATE TABLE flyway_schema_history (installed_rank INT NOT NULL PRIMARY KEY, version VARCHAR(50), description VARCHAR(200) NOT NULL, type VARCHAR(20) NOT NULL, script VARCHAR(1000) NOT NULL, checksum INT, installed_by VARCHAR(100), installed_on TIMESTAMP DEFAULT CURRENT_TIMESTAMP, execution_time INT, success BOOLEAN NOT NULL)",
		"INSERT INTO flyway_schema_history (installed_rank, version, description, type, script, success) VALUES (0, NULL, '<< Flyway Schema Creation >>', 'SCHEMA', 'x', TRUE), (1, '1', 'a', 'SQL', 'V1__a.sql', TRUE), (2, '2', 'b', 'SQL', 'V2__b.sql', TRUE)"}, "Force(2)", false},
	"Flyway, long ago": {[]string{"CREATE TABLE schema_version (version_rank INT NOT NULL, installed_rank INT NOT NULL PRIMARY KEY, version VARCHAR(50), description VARCHAR(200), type VARCHAR(20) NOT NULL, script VARCHAR(1000), checksum INT, success BOOLEAN NOT NULL)",
		"INSERT INTO schema_version (version_rank, installed_rank, version, type, success) VALUES (1, 1, '1.1', 'SQL', TRUE)"}, "Flyway", false},
	"Liquibase":            {[]string{"CREATE TABLE DATABASECHANGELOG (id VARCHAR(255) NOT NULL, author VARCHAR(255) NOT NULL, filename VARCHAR(255) NOT NULL, orderexecuted INT)", "INSERT INTO DATABASECHANGELOG VALUES ('1', 'me', 'x.xml', 1)"}, "Liquibase", false},
	"dbmate":               {[]string{"CREATE TABLE schema_migrations (version VARCHAR(128) NOT NULL PRIMARY KEY)", "INSERT INTO schema_migrations VALUES ('1'), ('2')"}, "Force(2)", false},
	"Ecto":                 {[]string{"CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, inserted_at TIMESTAMP NULL)", "INSERT INTO schema_migrations (version) VALUES (1), (2)"}, "Force(2)", false},
	"sql-migrate":          {[]string{"CREATE TABLE gorp_migrations (id VARCHAR(255) NOT NULL PRIMARY KEY, applied_at TIMESTAMP NULL)", "INSERT INTO gorp_migrations (id) VALUES ('1_a.sql'), ('2_b.sql')"}, "Force(2)", false},
	"sql-migrate, renamed": {[]string{"CREATE TABLE migrations (id VARCHAR(255) NOT NULL PRIMARY KEY, applied_at TIMESTAMP NULL)", "INSERT INTO migrations (id) VALUES ('1_a.sql'), ('2_b.sql')"}, "Force(2)", false},
	"Flyway, repeatable": {[]string{"CREATE TABLE flyway_schema_history (installed_rank INT NOT NULL PRIMARY KEY, version VARCHAR(50), type VARCHAR(20) NOT NULL, script VARCHAR(1000), checksum INT, success BOOLEAN NOT NULL)",
		"INSERT INTO flyway_schema_history (installed_rank, type, script, success) VALUES (1, 'SQL', 'R__a.sql', TRUE)"}, "Flyway", false},
	"Drizzle":            {[]string{"CREATE TABLE __drizzle_migrations (id INT PRIMARY KEY, hash VARCHAR(64) NOT NULL, created_at BIGINT)", "INSERT INTO __drizzle_migrations VALUES (1, 'abc', 1700000000000)"}, "Drizzle", false},
	"FluentMigrator":     {[]string{"CREATE TABLE VersionInfo (Version BIGINT NOT NULL, AppliedOn TIMESTAMP NULL, Description VARCHAR(1024))", "INSERT INTO VersionInfo (Version) VALUES (202401010000)"}, "FluentMigrator", false},
	"jjeffery/migration": {[]string{"CREATE TABLE schema_migrations (id BIGINT NOT NULL PRIMARY KEY, applied_at TIMESTAMP NULL, failed BOOLEAN NOT NULL, locked BOOLEAN NOT NULL)", "INSERT INTO schema_migrations (id, failed, locked) VALUES (1, FALSE, FALSE), (2, FALSE, FALSE)"}, "Force(2)", false},
	"tern":               {[]string{"CREATE TABLE schema_version (version INT NOT NULL)", "INSERT INTO schema_version VALUES (2)"}, "Force(2)", false},
	"Atlas":              {[]string{"CREATE TABLE atlas_schema_revisions (version VARCHAR(255) NOT NULL PRIMARY KEY, description VARCHAR(255), executed_at TIMESTAMP NULL)", "INSERT INTO atlas_schema_revisions (version) VALUES ('2')"}, "Force(2)", false},
	"Django":             {[]string{"CREATE TABLE django_migrations (id INT PRIMARY KEY, app VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL, applied TIMESTAMP NULL)", "INSERT INTO django_migrations (id, app, name) VALUES (1, 'auth', '0001_initial')"}, "Django", false},
	"Alembic":            {[]string{"CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)", "INSERT INTO alembic_version VALUES ('1975ea83b712')"}, "Alembic", false},
	"go-pg":              {[]string{"CREATE TABLE gopg_migrations (id INT PRIMARY KEY, version BIGINT, created_at TIMESTAMP NULL)", "INSERT INTO gopg_migrations (id, version) VALUES (1, 1), (2, 2)"}, "Force(2)", false},
	"Pop":                {[]string{"CREATE TABLE schema_migration (version VARCHAR(14) NOT NULL)", "INSERT INTO schema_migration VALUES ('20210505110026')"}, "Pop", false},
	"gormigrate":         {[]string{"CREATE TABLE migrations (id VARCHAR(255) PRIMARY KEY)", "INSERT INTO migrations VALUES ('201608301400')"}, "gormigrate", false},
	"bun":                {[]string{"CREATE TABLE bun_migrations (id INT PRIMARY KEY, name VARCHAR(255), group_id BIGINT, migrated_at TIMESTAMP NULL)", "INSERT INTO bun_migrations (id, name, group_id) VALUES (1, '20210505110026', 1)"}, "bun", false},
}

// TestForeignHistory: where another tool has been at work, nothing is touched until a person says what it means.
func TestForeignHistory(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fsys := chain(3)
	// Content with what is there, as many are: a run that fails would drop it.
	fsys["sql/base/001_t.sql"] = script("CREATE TABLE IF NOT EXISTS t001 (id INTEGER);", "DROP TABLE IF EXISTS t001;")
	onDatabases(t, func(t *testing.T, p *place) {
		for name, h := range histories {
			db := p.open(t) // pgx keeps plans of tables that were dropped
			lock := gooseplus.WithGlobalLock(strings.HasPrefix(name, "golang"))
			p.exec(t, append(h.setup, "CREATE TABLE t001 (id INTEGER)", "CREATE TABLE t002 (id INTEGER)", "INSERT INTO t001 VALUES (1)")...)
			theirs := strings.Fields(h.setup[0])[2]
			before := fmt.Sprint(column[string](t, p.db, p.target.tables))
			m := p.over(db, from(fsys), lock)
			refused := map[string]error{"Migrate": m.Migrate(ctx)}
			thorough := strings.HasPrefix(name, "golang") // of the others, what is recognised matters
			if thorough {
				refused["MigrateTo"], refused["Goto"], refused["Plan"] = m.MigrateTo(ctx, 1), m.Goto(ctx, 2), second(m.Plan(ctx))
			}
			for what, err := range refused {
				if !errors.Is(err, gooseplus.ErrForeignHistory) || !strings.Contains(fmt.Sprint(err), h.text) || !strings.Contains(strings.ToLower(fmt.Sprint(err)), strings.ToLower(theirs)) {
					t.Errorf("%s: %s: %v", name, what, err)
				}
			}
			if status, err := m.Status(ctx); err != nil || !strings.Contains(strings.ToLower(status.ForeignHistory), strings.ToLower(theirs)) {
				t.Errorf("%s: Status: %q, %v", name, status.ForeignHistory, err)
			}
			if thorough {
				if err := m.RollbackTo(ctx, 0); err != nil { // there is nothing to do
					t.Errorf("%s: RollbackTo: %v", name, err)
				}
			}
			if after := fmt.Sprint(column[string](t, p.db, p.target.tables)); after != before {
				t.Errorf("%s: tables %s, want %s", name, after, before)
			}
			if _, err := p.db.Exec("SELECT 1 FROM goose_db_version"); err == nil {
				t.Errorf("%s: there is a version table", name)
			}
			err := m.Force(ctx, 2)
			if h.dirty {
				wantIs(t, err, gooseplus.ErrForeignHistory)
				wantText(t, err, "dirty")
				if _, err := p.db.Exec("SELECT 1 FROM goose_db_version"); err == nil {
					t.Errorf("%s: Force has made a version table", name)
				}
				err = p.migrator(from(fsys), lock, gooseplus.WithForeignHistory(gooseplus.Ignore)).Force(ctx, 2)
			}
			if err != nil {
				t.Fatalf("%s: Force: %v", name, err)
			}
			if err := m.Migrate(ctx); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := column[int](t, p.db, "SELECT count(*) FROM t001"); got[0] != 1 {
				t.Errorf("%s: %v rows are left", name, got)
			}
			if thorough { // after a Force, the history of the other tool is not asked about again
				if err := m.RollbackTo(ctx, 0); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := m.Migrate(ctx); !h.dirty && err != nil {
					t.Errorf("%s: once more: %v", name, err)
				}
			}
			p.reset(t)
			p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock")
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestNoForeignHistory: these tables are nobody's history, or this Migrator's own.
func TestNoForeignHistory(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	contexts := files(map[string]*fstest.MapFile{"shop/1_a.sql": table("a"), "stock/1_b.sql": table("b")})
	goosey := func(name string) string {
		return "CREATE TABLE " + name + " (id INTEGER PRIMARY KEY, version_id BIGINT NOT NULL, is_applied BOOLEAN NOT NULL, tstamp TIMESTAMP NULL)"
	}
	onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)",
			"CREATE TABLE schema_version (version INT NOT NULL)", "INSERT INTO schema_version VALUES (0)", // tern's, before its first
			goosey("other_versions"), "INSERT INTO other_versions VALUES (1, 0, TRUE, NULL), (2, 5, TRUE, NULL), (3, 5, FALSE, NULL)",
			"CREATE TABLE laundry (dirty BOOLEAN, version INT, colour INT)", "INSERT INTO laundry VALUES (TRUE, 1, 1)",
			"CREATE TABLE migrations (bird VARCHAR(10))", "INSERT INTO migrations VALUES ('stork')")
		one := gooseplus.WithNamespaces("shop")
		if err := p.migrator(from(contexts), one).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		both := p.migrator(from(contexts), gooseplus.WithNamespaces("shop", "stock"))
		if s, err := both.NamespaceStatus(ctx); err != nil || s["stock"].ForeignHistory != "" {
			t.Errorf("status %+v, %v", s, err)
		}
		if err := both.Namespace("stock").Migrate(ctx); err != nil {
			t.Errorf("one namespace is new: %v", err)
		}
		if err := both.Migrate(ctx); err != nil {
			t.Error(err)
		}
		// If a namespace has versions, its database is not searched for another tool's history.
		p.exec(t, "INSERT INTO schema_migrations VALUES (1, FALSE)")
		contexts := files(map[string]*fstest.MapFile{"shop/1_a.sql": table("a"), "stock/1_b.sql": table("b"), "cash/1_c.sql": table("c")})
		if err := p.migrator(from(contexts), gooseplus.WithNamespaces("cash", "shop", "stock")).Migrate(ctx); err != nil {
			t.Errorf("a namespace is new in a database with versions: %v", err)
		}
	})
}

// TestForeignGoose: goose has another version table here, or one for each namespace.
func TestForeignGoose(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		ours := gooseplus.WithVersionTable("our_versions")
		if err := p.migrator(from(chain(2)), ours).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		err := p.migrator(from(chain(3))).Migrate(ctx)
		wantIs(t, err, gooseplus.ErrForeignHistory)
		wantText(t, err, "our_versions")
		wantText(t, err, "Force(2)")
		contexts := files(map[string]*fstest.MapFile{"shop/1_a.sql": table("a"), "stock/1_b.sql": table("b")})
		spaces := gooseplus.WithNamespaces("shop", "stock")
		wantIs(t, p.migrator(from(contexts), spaces).Migrate(ctx), gooseplus.ErrForeignHistory)
		wantIs(t, second(p.migrator(from(contexts), spaces).Plan(ctx)), gooseplus.ErrForeignHistory)
		if s, err := p.migrator(from(contexts), spaces).NamespaceStatus(ctx); err != nil || s["shop"].ForeignHistory == "" {
			t.Errorf("status %+v, %v", s, err)
		}
		if got := fmt.Sprint(column[string](t, p.db, p.target.tables)); strings.Contains(got, "shop") || strings.Contains(got, "[a") {
			t.Errorf("tables %s", got)
		}
		// Two services in one schema, which know of each other.
		told := 0
		for policy, text := range map[gooseplus.Policy]string{gooseplus.Warn: "our_versions", gooseplus.Ignore: "no such warning"} {
			alone := gooseplus.WithVersionTable(strings.ToLower("v_" + policy.String()))
			fsys := files(map[string]*fstest.MapFile{"1_x.sql": table("x_" + strings.ToLower(policy.String()))})
			if err := p.migrator(from(fsys), alone, gooseplus.WithForeignHistory(policy), warnings(text, &told)).Migrate(ctx); err != nil {
				t.Errorf("%v: %v", policy, err)
			}
		}
		if told != 1 {
			t.Errorf("%d warnings", told)
		}
		if err := p.migrator(from(chain(1)), gooseplus.WithForeignHistory(7)).Err(); err == nil {
			t.Error("a policy that there isn't is no fault")
		}
	})
}

// TestForeignIsOurOwn: a failed step has renamed the version table. The state table says that the database is dirty, and the next
// process says the same, and not that the renamed table is another tool's.
func TestForeignIsOurOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, without(transactionalDDL)).onEach(t, func(t *testing.T, p *place) {
		set := chain(2)
		set["sql/base/3_rename.sql"] = script("RENAME TABLE goose_db_version TO goose_old;", "RENAME TABLE goose_old TO goose_db_version;")
		for range 2 {
			wantIs(t, p.locking(p.db, from(set)).Migrate(ctx), gooseplus.ErrDirty)
		}
		p.exec(t, "DROP TABLE goose_db_version", "RENAME TABLE goose_old TO goose_db_version")
		if err := p.locking(p.db, from(set)).Force(ctx, 2); err != nil {
			t.Error(err)
		}
		if err := p.locking(p.db, from(chain(2))).Migrate(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestForeignBesideADirtyNamespace: that one namespace is dirty says nothing of another one.
func TestForeignBesideADirtyNamespace(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)", "INSERT INTO schema_migrations VALUES (2, FALSE)")
		set := files(map[string]*fstest.MapFile{"shop/1_a.sql": script("CREATE TABLE a (id INTEGER);\nCREATE TABLE a (id INTEGER);", ""), "stock/1_b.sql": table("b")})
		m := func(policy gooseplus.Policy) *gooseplus.Migrator {
			return p.locking(p.db, from(set), gooseplus.WithNamespaces("shop", "stock"), gooseplus.WithForeignHistory(policy))
		}
		wantIs(t, m(gooseplus.Ignore).MigrateNamespace(ctx, "shop"), gooseplus.ErrDirty)
		wantIs(t, m(gooseplus.Refuse).MigrateNamespace(ctx, "shop"), gooseplus.ErrDirty)
		wantIs(t, m(gooseplus.Refuse).MigrateNamespace(ctx, "stock"), gooseplus.ErrForeignHistory)
	})
}

// TestForeignBesideTheVersionTable: the version table has a schema of its own, and the tables with their histories are where the
// connection creates them.
func TestForeignBesideTheVersionTable(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(schemas).onDatabases(t, func(t *testing.T, p *place) {
		schema := p.dialect + "_ops"
		if p.dialect == "mysql" {
			schema = column[string](t, p.db, "SELECT DATABASE()")[0] + "_ops"
			t.Cleanup(func() { _, _ = p.db.Exec("DROP DATABASE " + schema) })
		}
		p.exec(t, "CREATE SCHEMA "+schema)
		m := p.migrator(from(chain(3)), gooseplus.WithVersionTable(schema+".goose_db_version"))
		if err := p.migrator(from(chain(2))).Migrate(ctx); err != nil { // with the default name
			t.Fatal(err)
		}
		err := m.Migrate(ctx)
		wantIs(t, err, gooseplus.ErrForeignHistory)
		wantText(t, err, "Force(2)")
		p.reset(t)
		p.exec(t, "CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)", "INSERT INTO schema_migrations VALUES (2, FALSE)",
			"CREATE TABLE t001 (id INTEGER)", "CREATE TABLE t002 (id INTEGER)")
		err = m.Migrate(ctx)
		wantIs(t, err, gooseplus.ErrForeignHistory)
		wantText(t, err, "schema_migrations")
		wantText(t, err, "Force(2)")
		if err := m.Force(ctx, 2); err != nil {
			t.Fatal(err)
		}
		if err := m.Migrate(ctx); err != nil {
			t.Error(err)
		}
		// The schema that the connection has anyway, by its name: these tables are the Migrator's own.
		p.reset(t)
		p.exec(t, "DROP TABLE IF EXISTS schema_migrations")
		here := "public"
		if p.dialect == "mysql" {
			here = strings.TrimSuffix(schema, "_ops")
		}
		named := p.migrator(from(chain(2)), gooseplus.WithVersionTable(here+".goose_db_version"))
		if err := named.Migrate(ctx); err != nil {
			t.Error(err)
		}
		if err := named.RollbackTo(ctx, 0); err != nil {
			t.Error(err)
		}
		if err := named.Migrate(ctx); err != nil {
			t.Errorf("after all was undone: %v", err)
		}
	})
}

// TestTablesBesideTheVersionTable: tables that somebody made by hand are told of both schemas, and stay.
func TestTablesBesideTheVersionTable(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(schemas).onDatabases(t, func(t *testing.T, p *place) {
		here := column[string](t, p.db, map[string]string{"postgres": "SELECT current_schema()", "mysql": "SELECT DATABASE()"}[p.dialect])[0]
		there := here + "_ops"
		t.Cleanup(func() { _, _ = p.db.Exec("DROP SCHEMA " + there) }) // on MySQL it is a database
		p.exec(t, "CREATE SCHEMA "+there, "CREATE TABLE "+there+".by_hand (id INTEGER)")
		bad := files(map[string]*fstest.MapFile{
			"1_a.sql": script("CREATE TABLE IF NOT EXISTS "+there+".by_hand (id INTEGER);", "DROP TABLE "+there+".by_hand;"),
			"2_b.sql": script("CREATE TABLE IF NOT EXISTS too (id INTEGER);", "DROP TABLE too;"),
			"3_c.sql": script("INSERT INTO nowhere VALUES (1);", ""),
		})
		for _, made := range []string{there, here} {
			told := 0
			err := p.migrator(from(bad), gooseplus.WithVersionTable(there+".goose_db_version"), warnings("schema "+made+" has tables already (1)", &told)).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollBack)
			if told != 1 {
				t.Errorf("%d warnings of %s", told, made)
			}
			p.exec(t, "DROP TABLE "+there+".goose_db_version", "DROP TABLE "+there+".goose_db_version_lock", "DROP TABLE IF EXISTS too", "CREATE TABLE too (id INTEGER)",
				"INSERT INTO "+there+".by_hand VALUES (1)")
		}
		p.exec(t, "DROP TABLE "+there+".by_hand")
	})
}

// TestForeignWhereNothingCanBeMade: a role that may not create tables in the schema that its connections have doesn't migrate there.
func TestForeignWhereNothingCanBeMade(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		role := p.role(t)
		p.exec(t, "CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)", "INSERT INTO schema_migrations VALUES (2, FALSE)",
			"REVOKE CREATE ON SCHEMA public FROM PUBLIC", "CREATE SCHEMA shop AUTHORIZATION "+role.name)
		set := files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE shop.a (id INTEGER);", "DROP TABLE shop.a;")})
		if err := p.over(role.open(t), from(set), gooseplus.WithVersionTable("shop.goose_db_version")).Migrate(ctx); err != nil {
			t.Error(err)
		}
		wantIs(t, p.migrator(from(set), gooseplus.WithVersionTable("other.goose_db_version")).Migrate(ctx), gooseplus.ErrForeignHistory)
	})
}

// TestTablesWithoutHistory: tables that somebody made by hand are told, and nothing is refused.
func TestTablesWithoutHistory(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const text = "has tables already (2) and no migration history; if they come from these migrations, call Force with the version that they are at"
	onDatabases(t, func(t *testing.T, p *place) {
		told := 0
		run := func(want int, opts ...gooseplus.Option) {
			t.Helper()
			told = 0
			if err := p.migrator(append(opts, from(chain(3)), warnings(text, &told))...).Migrate(ctx); err != nil {
				t.Error(err)
			}
			if told != want {
				t.Errorf("%d warnings, want %d", told, want)
			}
		}
		run(0)
		p.exec(t, "DROP TABLE goose_db_version", "DROP TABLE t003")
		if err := p.migrator(from(chain(3))).Force(ctx, 0); err != nil { // an empty version table
			t.Fatal(err)
		}
		p.exec(t, "ALTER TABLE t001 RENAME TO by_hand", "ALTER TABLE t002 RENAME TO by_hand_too")
		run(1)
		run(0)
		if err := p.migrator(from(chain(3))).RollbackTo(ctx, 0); err != nil {
			t.Fatal(err)
		}
		run(0, gooseplus.WithForeignHistory(gooseplus.Ignore))
	})
}

// TestForeignHistoryUnreadable: a history that this user may not read is not taken for none.
func TestForeignHistoryUnreadable(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, histories["golang-migrate"].setup...)
		m := p.over(readerOf(t, p), from(chain(2)))
		for _, err := range []error{m.Migrate(ctx), second(m.Plan(ctx))} {
			wantIs(t, err, gooseplus.ErrForeignHistory)
			wantText(t, err, "permission denied")
			wantText(t, err, "SELECT")
		}
	})
}

// TestForeignHistoryOfATenant: what another tool has done in one schema is nothing to the others, and an empty one takes
// one statement.
func TestForeignHistoryOfATenant(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, histories["golang-migrate"].setup...) // where the connection is
		names := []string{"tf_empty", "tf_theirs"}
		if p.dialect == "mysql" {
			names[0] = column[string](t, p.db, "SELECT CONCAT(DATABASE(), '_e')")[0]
			names[1] = names[0] + "t"
		}
		for _, name := range names {
			p.exec(t, "CREATE SCHEMA "+name)
			t.Cleanup(func() {
				p.exec(t, "DROP SCHEMA IF EXISTS "+name+map[bool]string{true: " CASCADE"}[p.dialect == "postgres"])
			})
		}
		p.exec(t, "CREATE TABLE "+names[1]+".schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)",
			"INSERT INTO "+names[1]+".schema_migrations VALUES (2, FALSE)")
		db, counter := p.counted(t)
		r, err := p.over(db, from(chain(3))).MigrateTenants(ctx, gooseplus.Schemas(names...))
		wantIs(t, err, gooseplus.ErrForeignHistory)
		wantReport(t, r, 2, 1, 0, 1, 0)
		looks := 0
		for _, s := range counter.take() {
			if strings.Contains(s, "bun_migrations") && !strings.HasPrefix(s, "prepare") {
				looks++
			}
		}
		if looks > len(names) {
			t.Errorf("%d looks for %d tenants", looks, len(names))
		}
		if err := p.migrator(from(chain(3)), gooseplus.WithSchema(names[1])).Force(ctx, 2); err != nil {
			t.Error(err)
		}
		if err := p.migrator(from(chain(3)), gooseplus.WithSchema(names[1])).Migrate(ctx); err != nil {
			t.Error(err)
		}
	})
}
