package dbtest

import (
	"path/filepath"
	"testing"
)

func TestOwnServerKeepsWhatWasCommitted(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			needLocal(t, kind.engine)
			temp := t.TempDir()
			openToAll(t, temp)
			t.Setenv("TMPDIR", temp)
			t.Run("server", func(t *testing.T) {
				s := own(t, kind.engine, false)
				d := s.NewDatabase(t)
				for i, end := range []func(testing.TB){s.PowerOff, s.ShutDown} {
					db := d.Open(t, kind.drivers[0])
					if i == 0 {
						if _, err := db.Exec("CREATE TABLE kept (i INTEGER)"); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := db.Exec("INSERT INTO kept VALUES (1)"); err != nil {
						t.Fatal(err)
					}
					end(t)
					if err := s.engine.ping(t.Context(), s.endpoint); err == nil {
						t.Error("it answers after its end")
					}
					s.Start(t)
					var n int
					if err := d.Open(t, kind.drivers[0]).QueryRow("SELECT count(*) FROM kept").Scan(&n); err != nil || n != i+1 {
						t.Errorf("%d rows, %v", n, err)
					}
				}
				s.PowerOff(t)
				s.Start(t)
			})
			if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
