package gooseplustest

import (
	"database/sql"
	"fmt"
	"testing"
	"time"
)

func databaseOf(t testing.TB, db *sql.DB) string {
	t.Helper()
	return texts(t, db, `SELECT current_database()::text`)[0]
}

func TestPostgresIsMigratedWithBaseAndTest(t *testing.T) {
	fsys := folder("sql/base/1_users.sql", "sql/test/2_seed.sql", "sql/production/3_live.sql")
	for range 3 {
		s := time.Now()
		db := Postgres(t, "", files(fsys))
		fmt.Println(time.Since(s))
		got := texts(t, db, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%' ORDER BY 1`)
		if fmt.Sprint(got) != "[seed users]" {
			t.Error(got)
		}
	}
	fmt.Println(texts(t, Postgres(t, "", files(fsys)), `SELECT datname::text FROM pg_database`))
}
