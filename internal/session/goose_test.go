package session

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

func sqlFile(directive, up, down string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(directive + "\n-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n")}
}

func provider(t *testing.T, p *place, db *sql.DB, files fstest.MapFS, more ...*goose.Migration) *goose.Provider {
	t.Helper()
	g, err := goose.NewProvider(goose.Dialect(p.dialect), db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(more...))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGoose(t *testing.T) {
	const one, two = "CREATE TABLE %s (id INTEGER);\nINSERT INTO %[1]s VALUES (1);", "DROP TABLE %s;"
	files := fstest.MapFS{
		"1_a.sql": sqlFile("", fmt.Sprintf(one, "a"), fmt.Sprintf(two, "a")),
		"2_b.sql": sqlFile("-- +goose NO TRANSACTION", fmt.Sprintf(one, "b"), fmt.Sprintf(two, "b")),
	}
	withTx := func(q string) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { _, err := tx.ExecContext(ctx, q); return err }}
	}
	withDB := func(q string) *goose.GoFunc {
		return &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error { _, err := db.ExecContext(ctx, q); return err }}
	}
	c := goose.NewGoMigration(3, withTx(`CREATE TABLE c (id INTEGER)`), withTx(`DROP TABLE c`))
	d := goose.NewGoMigration(4, withDB(`CREATE TABLE d (id INTEGER)`), withDB(`DROP TABLE d`))
	onEach(t, true, func(t *testing.T, p *place) {
		cfg := p.fence(t)
		s := p.open(t, cfg)
		g := provider(t, p, s.DB(), files, c, d)
		if results, err := g.Up(t.Context()); err != nil || len(results) != 4 {
			t.Fatalf("%v, %v", results, err)
		}
		p.want(t, "abcd")
		if n := get[int](t, p.db, `SELECT n FROM runs`); n != 3 { // the version table's, 1 and 3
			t.Errorf("%d transactions were fenced, want 3", n)
		}
		if v, err := provider(t, p, p.db, files, c, d).GetDBVersion(t.Context()); err != nil || v != 4 {
			t.Errorf("goose without a session says %d, %v", v, err)
		}
		if _, err := g.DownTo(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		p.want(t, "")

		exe(t, p.db, `UPDATE runs SET outcome = 'crashed'`)
		_, err := g.Up(t.Context())
		wantIs(t, err, errFenced)
		p.want(t, "")
		if err := g.Close(); err != nil { // closes the session's pool and not the parent
			t.Error(err)
		}
		if v, err := provider(t, p, p.db, files, c, d).GetDBVersion(t.Context()); err != nil || v != 0 {
			t.Errorf("the version is %d, %v", v, err)
		}
	})
}

func TestGooseInAnOuterTransaction(t *testing.T) {
	files := fstest.MapFS{
		"1_a.sql": sqlFile("", "CREATE TABLE a (id INTEGER);", "DROP TABLE a;"),
		"2_b.sql": sqlFile("", "CREATE TABLE b (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE b;"),
	}
	onEach(t, false, func(t *testing.T, p *place) {
		s := p.inTransaction(t, p.fence(t))
		g := provider(t, p, s.DB(), files)
		if _, err := g.Up(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if v, err := g.GetDBVersion(t.Context()); err != nil || v != 1 {
			t.Errorf("version %d, %v", v, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		p.want(t, "")
		if err := p.db.QueryRow(`SELECT 1 FROM goose_db_version`).Scan(new(int)); err == nil || err == sql.ErrNoRows {
			t.Error("the version table is there")
		}
		delete(files, "2_b.sql")
		s = p.inTransaction(t, Config{})
		if _, err := provider(t, p, s.DB(), files).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		p.want(t, "a")
		files["2_b.sql"] = sqlFile("", "CREATE TABLE b (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE b;")
	})
}
