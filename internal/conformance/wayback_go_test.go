package conformance

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestWayBackGo: a Go migration fails or panics.
func TestWayBackGo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("Go migration", func(t *testing.T) {
		boom := errors.New("boom")
		situations := map[string]struct {
			up    *goose.GoFunc
			check func(*testing.T, error)
		}{
			"error in a transaction": {
				up: &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
					return errors.Join(boom, execTx(ctx, tx, "CREATE TABLE half (id INTEGER)"))
				}},
				check: func(t *testing.T, err error) { wantIs(t, err, boom) },
			},
			"error without a transaction": {
				up: &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
					_, err := db.ExecContext(ctx, "CREATE TABLE half (id INTEGER)")
					return errors.Join(boom, err)
				}},
				check: func(t *testing.T, err error) { wantIs(t, err, boom) },
			},
			"panic in a transaction": {
				up: &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
					if err := execTx(ctx, tx, "CREATE TABLE half (id INTEGER)"); err != nil {
						return err
					}
					panic("out of geese")
				}},
				check: func(t *testing.T, err error) { wantText(t, err, "panic: out of geese") },
			},
			"panic without a transaction": {
				up: &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
					if _, err := db.ExecContext(ctx, "CREATE TABLE half (id INTEGER)"); err != nil {
						return err
					}
					panic(boom)
				}},
				check: func(t *testing.T, err error) { wantIs(t, err, boom) },
			},
		}
		for name, s := range situations {
			t.Run(name, func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					fsys := deploy(t, p, nil)
					down := &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
						_, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS half")
						return err
					}}
					err := p.migrator(from(fsys), gooseplus.WithGoMigrations(goose.NewGoMigration(12, s.up, down))).Migrate(ctx)
					wantFailed(t, err, 12)
					s.check(t, err)
					p.want(t, earlierVersions, earlierTables)
				})
			})
		}
	})
}

func execTx(ctx context.Context, tx *sql.Tx, statement string) error {
	_, err := tx.ExecContext(ctx, statement)
	return err
}
