package fleet

import "testing"

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`cannot parse postgres://me:geheim@host:5432/db?x=y: no`:    `cannot parse postgres://xxxxx@host:5432/db?x=y: no`,
		`host=h user=u password=geheim dbname=d`:                    `host=h user=u password=xxxxx dbname=d`,
		`password='ge heim' dbname=d`:                               `password=xxxxx dbname=d`,
		`u:geheim@tcp(host:3306)/db`:                                `xxxxx@tcp(host:3306)/db`,
		`u:geheim@(host:3306)/db`:                                   `xxxxx@(host:3306)/db`,
		`relation "a" does not exist (SQLSTATE 42P01)`:              `relation "a" does not exist (SQLSTATE 42P01)`,
		`tenant "acme": migration 2 (2_x.sql:3): duplicate key a:b`: `tenant "acme": migration 2 (2_x.sql:3): duplicate key a:b`,
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}
