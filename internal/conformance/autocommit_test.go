package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestAutocommitOff: MySQL's autocommit is off for every connection of the application, as a DSN or the server can have
// it. The run's own rows are committed all the same, the run doesn't wait for itself, and the next process reads the same.
func TestAutocommitOff(t *testing.T) {
	t.Parallel()
	x := targets[slices.IndexFunc(targets, func(x target) bool { return x.dialect == "mysql" })]
	sets := map[string]map[string]*fstest.MapFile{
		"files": {
			"1_a.sql": script("CREATE TABLE a (id INTEGER);\nINSERT INTO a VALUES (1);", "DROP TABLE a;"),
			"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);\nINSERT INTO b VALUES (1);", "DROP TABLE b;"),
		},
		"pairs": {
			"1_a.up.sql": {Data: []byte("CREATE TABLE a (id INTEGER);\nINSERT INTO a VALUES (1);")}, "1_a.down.sql": {Data: []byte("DROP TABLE a;")},
			"2_b.up.sql": {Data: []byte("START TRANSACTION;\nCREATE TABLE b (id INTEGER);\nINSERT INTO b VALUES (1);\nCOMMIT;")}, "2_b.down.sql": {Data: []byte("DROP TABLE b;")},
		},
	}
	for name, set := range sets {
		for _, lock := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lock %v", name, lock), func(t *testing.T) {
				t.Parallel()
				p := x.place(t)
				p.dsn += "&autocommit=0&multiStatements=true"
				db := p.open(t)
				defer db.Close()
				m := p.over(db, from(files(set)), gooseplus.WithGlobalLock(lock))
				if err := m.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := column[string](t, db, "SELECT @@autocommit"); got[0] != "0" && !strings.EqualFold(got[0], "OFF") {
					t.Errorf("the application's autocommit is %s", got[0])
				}
				next := p.open(t)
				defer next.Close()
				status, err := p.over(next, from(files(set)), gooseplus.WithGlobalLock(lock)).Status(t.Context())
				if err != nil || status.Dirty || status.CurrentVersion != 2 || status.PendingCount != 0 {
					t.Errorf("a new process finds %+v, %v", status, err)
				}
				if got := column[string](t, p.db, "SELECT count(*) FROM a JOIN b ON a.id = b.id"); got[0] != "1" {
					t.Errorf("%s rows", got[0])
				}
				if err := m.RollbackTo(t.Context(), 0); err != nil {
					t.Error(err)
				}
				p.want(t, nil, nil)
			})
		}
	}
}

// TestAutocommitOffByTheServer: init_connect has the server put autocommit off for every connection of a user.
func TestAutocommitOffByTheServer(t *testing.T) {
	t.Parallel()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		role := p.role(t)
		p.exec(t, "GRANT ALL ON "+p.quoted(column[string](t, p.db, "SELECT DATABASE()")[0])+".* TO "+role.name,
			"SET GLOBAL init_connect = \"SET autocommit = USER() NOT LIKE '"+role.name+"@%'\"") // the server is not this test's alone
		t.Cleanup(func() { p.exec(t, "SET GLOBAL init_connect = ''") })
		set := files(map[string]*fstest.MapFile{
			"1_a.sql": script("CREATE TABLE a (id INTEGER);\nINSERT INTO a VALUES (1);", "DROP TABLE a;"),
			"2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);\nINSERT INTO b VALUES (1);", "DROP TABLE b;"),
		})
		for _, lock := range []bool{false, true} {
			db := role.open(t)
			if got := column[string](t, db, "SELECT @@autocommit"); got[0] != "0" {
				t.Fatalf("autocommit is %s", got[0])
			}
			m := p.over(db, from(set), gooseplus.WithGlobalLock(lock))
			if err := m.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			status, err := p.over(role.open(t), from(set), gooseplus.WithGlobalLock(lock)).Status(t.Context())
			if err != nil || status.Dirty || status.CurrentVersion != 2 {
				t.Errorf("lock %v: a new process finds %+v, %v", lock, status, err)
			}
			if got := column[string](t, p.db, "SELECT count(*) FROM a JOIN b ON a.id = b.id"); got[0] != "1" {
				t.Errorf("%s rows", got[0])
			}
			if err := m.RollbackTo(t.Context(), 0); err != nil {
				t.Error(err)
			}
			p.want(t, nil, nil)
		}
	})
}
