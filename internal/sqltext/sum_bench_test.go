package sqltext

import "testing"

func BenchmarkSum(b *testing.B) {
	text := "-- +goose Up\nCREATE TABLE t001 (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x', made TIMESTAMP);\n\n-- +goose Down\nDROP TABLE t001;\n"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		postgres.Sum(text)
	}
}
