package session

import (
	"context"
	"database/sql"
	"testing"
)

// BenchmarkSession compares a connection of the parent pool with one of a session.
func BenchmarkSession(b *testing.B) {
	b.Run("a driver that takes no time", func(b *testing.B) {
		parent := sql.OpenDB(instant{})
		b.Cleanup(func() { parent.Close() })
		compare(b, parent)
	})
	for _, x := range targets {
		b.Run(x.name, func(b *testing.B) { compare(b, x.place(b).db) })
	}
}

func compare(b *testing.B, parent *sql.DB) {
	s := closeAtEnd(b, Open(parent, Config{}))
	for _, y := range []struct {
		name string
		db   *sql.DB
	}{{"parent", parent}, {"session", s.DB()}} {
		c, err := y.db.Conn(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		b.Run("select/"+y.name, func(b *testing.B) {
			for b.Loop() {
				get[int](b, c, `SELECT 1`)
			}
		})
		b.Run("begin and commit/"+y.name, func(b *testing.B) {
			for b.Loop() {
				tx, err := c.BeginTx(context.Background(), nil)
				if err != nil {
					b.Fatal(err)
				}
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
		c.Close()
		b.Run("select with borrow/"+y.name, func(b *testing.B) {
			for b.Loop() {
				get[int](b, y.db, `SELECT 1`)
			}
		})
	}
}
