package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"
)

// counting makes the table in which each migration of these tests counts itself.
func (p *place) counting(t *testing.T) {
	t.Helper()
	p.reset(t)
	p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock", "CREATE TABLE counted (v BIGINT)")
}

func (p *place) wantCounted(t *testing.T, want ...int64) {
	t.Helper()
	if got := column[int64](t, p.db, "SELECT v FROM counted ORDER BY v"); !slices.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	var versions []int64
	for _, v := range column[int64](t, p.db, "SELECT version_id FROM goose_db_version ORDER BY version_id") {
		if v != 0 {
			versions = append(versions, v)
		}
	}
	if !slices.Equal(versions, want) {
		t.Errorf("versions %v, want %v", versions, want)
	}
}

func upTo(n int64) (list []int64) {
	for v := int64(1); v <= n; v++ {
		list = append(list, v)
	}
	return list
}

// counts is a Go migration that counts itself, and then does more.
func counts(v int64, more func(context.Context, *sql.Tx) error) *goose.Migration {
	return goose.NewGoMigration(v, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		if err := execTx(ctx, tx, fmt.Sprintf("INSERT INTO counted VALUES (%d)", v)); err != nil || more == nil {
			return err
		}
		return more(ctx, tx)
	}}, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		return execTx(ctx, tx, fmt.Sprintf("DELETE FROM counted WHERE v = %d", v))
	}})
}
