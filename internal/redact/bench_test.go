package redact

import (
	"strings"
	"testing"
)

// BenchmarkIn looks for passwords in statements of five megabytes.
func BenchmarkIn(b *testing.B) {
	row := "(1234, 'some words of a text', '2024-01-02 03:04:05', NULL),\n"
	rows := strings.Repeat(row, 5<<20/len(row)) + "(0, '', NULL, NULL);"
	for name, text := range map[string]string{
		"none":       "INSERT INTO app.things (id, name, at, x) VALUES\n" + rows,
		"a password": "INSERT INTO app.users (id, password, at, x) VALUES\n" + rows,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				In(text)
			}
		})
	}
}
