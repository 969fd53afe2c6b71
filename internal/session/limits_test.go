package session

import (
	"strings"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// TestLimits asserts what the servers are told.
func TestLimits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, dialect string
		mariadb       bool
		limits        Limits
		want          string // the statement in a transaction, those of a setting, what it is put back with
	}{
		{"nothing to limit", "postgres", false, Limits{}, ""},
		{"both", "postgres", false, Limits{Lock: 1500 * time.Millisecond, Statement: time.Minute},
			"SET LOCAL lock_timeout = '1500'; SET LOCAL statement_timeout = '60000' | " +
				"SELECT concat_ws(' ', current_setting('lock_timeout'), current_setting('statement_timeout')) | " +
				"SET lock_timeout = '1500'; SET statement_timeout = '60000' | SET lock_timeout = 'a'; SET statement_timeout = 'b'"},
		{"nothing is rounded to no limit", "postgres", false, Limits{Lock: 1},
			"SET LOCAL lock_timeout = '1' | SELECT concat_ws(' ', current_setting('lock_timeout')) | SET lock_timeout = '1' | SET lock_timeout = 'a'"},
		{"more than the server takes", "postgres", false, Limits{Statement: 1 << 62},
			"SET LOCAL statement_timeout = '2147483647' | SELECT concat_ws(' ', current_setting('statement_timeout')) | " +
				"SET statement_timeout = '2147483647' | SET statement_timeout = 'a'"},
		{"locks in whole seconds", "mysql", false, Limits{Lock: 1001 * time.Millisecond},
			"SELECT CONCAT_WS(' ', @@SESSION.lock_wait_timeout, @@SESSION.innodb_lock_wait_timeout) | " +
				"SET SESSION lock_wait_timeout = 2, SESSION innodb_lock_wait_timeout = 2 | " +
				"SET SESSION lock_wait_timeout = a, SESSION innodb_lock_wait_timeout = b | first"},
		{"a statement in MySQL", "mysql", false, Limits{Statement: 1500*time.Millisecond + 1},
			"SELECT CONCAT_WS(' ', @@SESSION.max_execution_time) | SET SESSION max_execution_time = 1501 | SET SESSION max_execution_time = a | first"},
		{"both in MariaDB", "mariadb", true, Limits{Lock: 1, Statement: 1500*time.Millisecond + 1},
			"SELECT CONCAT_WS(' ', @@SESSION.lock_wait_timeout, @@SESSION.innodb_lock_wait_timeout, @@SESSION.max_statement_time) | " +
				"SET SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1, SESSION max_statement_time = 1.501 | " +
				"SET SESSION lock_wait_timeout = a, SESSION innodb_lock_wait_timeout = b, SESSION max_statement_time = c | first"},
		{"nothing to limit", "mysql", false, Limits{}, ""},
		{"a busy database", "sqlite", false, Limits{Lock: 70 * time.Millisecond},
			"PRAGMA busy_timeout | PRAGMA busy_timeout = 70 | PRAGMA busy_timeout = a | first"},
		{"nothing to limit", "sqlite", false, Limits{}, "PRAGMA busy_timeout | PRAGMA busy_timeout = 5000 | PRAGMA busy_timeout = a | first"},
	} {
		t.Run(tc.dialect+": "+tc.name, func(t *testing.T) {
			t.Parallel()
			d, err := dialect.Lookup(tc.dialect)
			if err != nil {
				t.Fatal(err)
			}
			var cfg Config
			tc.limits.MariaDB = tc.mariadb
			cfg.Limit(d, tc.limits)
			var got []string
			for _, s := range cfg.OnBeginSettings {
				got = append(got, s.Query)
			}
			if len(cfg.OnSavepoint) != len(cfg.OnBeginSettings) {
				t.Errorf("%d statements in a savepoint, and %d in a transaction", len(cfg.OnSavepoint), len(cfg.OnBeginSettings))
			}
			for _, s := range cfg.Settings {
				got = append(got, s.Read, s.Write(s.Value).Query, s.Write("a b c").Query)
			}
			if cfg.SettingsFirst {
				got = append(got, "first")
			}
			if text := strings.Join(got, " | "); text != tc.want {
				t.Errorf("got\n%s\nwant\n%s", text, tc.want)
			}
		})
	}
}
