package sqltext

import (
	"strings"
	"testing"
)

// BenchmarkLong asks what a run asks of a statement of five megabytes.
func BenchmarkLong(b *testing.B) {
	row := "(1234, 'some words of a text', '2024-01-02 03:04:05', NULL),\n"
	text := "-- rows\nINSERT INTO app.things (id, name, at, x) VALUES\n" + strings.Repeat(row, 5<<20/len(row)) + "(0, '', NULL, NULL);"
	for name, f := range map[string]func(string) bool{
		"Meddles": Meddles, "Plain": Plain, "ControlsTransactions": ControlsTransactions,
		"Alone": func(s string) bool { alone, _ := Alone(s); return alone },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if f(text) != (name == "Plain") {
					b.Fatal("wrong")
				}
			}
		})
	}
}
