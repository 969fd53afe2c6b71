package dbtest

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
)

// Standby starts a hot standby of a PostgreSQL of this test's own, with all that is in it now. It only reads, and follows the
// other server. It ends with the test.
func Standby(t testing.TB, of *OwnServer) Server {
	t.Helper()
	admin, err := url.Parse(of.DSN())
	if err != nil {
		t.Fatal(hide(err, of.endpoint.password))
	}
	e := *postgres
	e.local.needs = append([]string{"pg_basebackup"}, postgres.local.needs...)
	bin, err := e.local.locate()
	if err != nil {
		process.missing(t, local[postgres], err)
	}
	e.local.files = func(string) map[string]string {
		return map[string]string{"password": "*:*:*:*:" + of.endpoint.password + "\n"}
	}
	e.local.install = fmt.Sprintf(`PGPASSFILE="$PWD/password" "$BIN/pg_basebackup" -h %s -p %s -U %s -D data -R -X stream -c fast --no-sync`,
		admin.Hostname(), admin.Port(), admin.User.Username())
	e.address = func(hostPort, _ string) endpoint { return postgres.address(hostPort, of.endpoint.password) }
	const attempts = 5
	for attempt := 1; ; attempt++ {
		s, _, err := e.startOn(t.Context(), bin, freePort)
		if errors.Is(err, errPortTaken) && attempt < attempts {
			continue
		}
		if err != nil {
			t.Fatalf("dbtest: %v", hide(err, of.endpoint.password))
		}
		t.Cleanup(func() {
			if err := s.stop(); err != nil {
				t.Errorf("stop the standby: %v", err)
			}
		})
		return s
	}
}

// On is the DSN of the database on another server that has it too.
func (d Database) On(s Server) string { return s.endpoint.dsn(d.Name) }
