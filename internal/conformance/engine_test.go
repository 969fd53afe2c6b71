package conformance

import (
	"slices"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// TestEngines has a server of its own: a table without transactions anywhere on a server makes other tests' killed steps doubtful.
func TestEngines(t *testing.T) {
	t.Parallel()
	own := dbtest.OwnMySQL(t, false)
	for _, x := range having(server, without(transactionalDDL)) {
		x.database = func(t testing.TB) string { return own.NewDatabase(t).DSN }
		t.Run("the default over "+x.driver, func(t *testing.T) { engineByDefault(t, x.place(t)) })
		t.Run("changed over "+x.driver, func(t *testing.T) { engineWithoutTransactions(t, x.place(t)) })
	}
}

// engineByDefault: the server's default has no transactions. The library's tables have another engine.
func engineByDefault(t *testing.T, p *place) {
	p.dsn += "&default_storage_engine=MyISAM"
	for _, lock := range []bool{false, true} {
		db := p.open(t)
		defer db.Close()
		m := p.over(db, from(chain(1)), gooseplus.WithGlobalLock(lock))
		if err := m.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		engines := column[string](t, db, "SELECT engine FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name")
		if !slices.Equal(engines, []string{"InnoDB", "InnoDB", "MyISAM"}) {
			t.Errorf("lock %v: the engines are %v", lock, engines)
		}
		p.exec(t, "DROP TABLE t001, goose_db_version, goose_db_version_lock")
	}
}

// engineWithoutTransactions: a run with something to do is refused, and says what mends it. One with nothing to do isn't.
func engineWithoutTransactions(t *testing.T, p *place) {
	for _, lock := range []gooseplus.Option{gooseplus.WithGlobalLock(false), gooseplus.WithGlobalLock(true)} {
		for _, name := range []string{"goose_db_version", "goose_db_version_lock"} {
			boot := func(n int) error { return p.migrator(from(chain(n)), lock).Migrate(t.Context()) }
			if err := boot(1); err != nil {
				t.Fatal(err)
			}
			p.exec(t, "ALTER TABLE "+name+" ENGINE = MyISAM")
			if err := boot(1); err != nil {
				t.Error(err)
			}
			err := boot(2)
			wantIs(t, err, gooseplus.ErrMigrationTable)
			wantIsNot(t, err, gooseplus.ErrRollForward)
			mend := "ALTER TABLE `" + name + "` ENGINE = InnoDB"
			wantText(t, err, mend)
			p.want(t, []int64{1}, []string{"t001"})
			p.exec(t, mend)
			if err := boot(2); err != nil {
				t.Fatal(err)
			}
			p.exec(t, "DROP TABLE t001, t002, goose_db_version, goose_db_version_lock")
		}
	}
}
