package gooseplustest

import (
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestLocksTry(t *testing.T) {
	fsys := fstest.MapFS{
		"sql/base/1_a.sql": migration("CREATE TABLE orders (id BIGINT PRIMARY KEY, email TEXT, n int);\nCREATE TABLE customers (id BIGINT PRIMARY KEY);", "DROP TABLE orders;"),
		"sql/base/2_b.sql": migration("ALTER TABLE orders ADD COLUMN x int;\nALTER TABLE orders ALTER COLUMN n TYPE bigint;\nUPDATE customers SET id = 1;\nCREATE INDEX oi ON orders(email);\nALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES customers;\nALTER TABLE orders ADD CHECK (n > 0);\nALTER TABLE orders ALTER n SET NOT NULL;", "DROP TABLE orders;"),
		"sql/base/3_b.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY oi2 ON orders(email);\nCREATE INDEX oi3 ON orders(email);\nVACUUM FULL orders;\nVACUUM customers;\nDROP INDEX CONCURRENTLY oi2;\n")},
		"sql/base/4_c.sql": migration("CREATE INDEX CONCURRENTLY oi5 ON orders(email);", ""),
	}
	db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
	Locks(t, gooseplus.New(db, files(fsys)))
}
