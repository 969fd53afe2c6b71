package drive

import (
	"context"
	"log/slog"
)

// trace follows what a goose Provider does within one step. goose's errors don't carry the
// statement that failed, but when it is verbose it announces each one before it runs it.
type trace struct {
	statement  string // the last that was announced
	statements int
	functions  int // Go migrations started
	spell      func(statement string) string
}

func (t *trace) reset() { *t = trace{spell: t.spell} }

// function is called when a Go migration starts.
func (t *trace) function() { t.functions++ }

// announce is called before a statement is executed.
func (t *trace) announce(statement string) {
	t.statement = statement
	t.statements++
}

// began says whether the step got as far as doing anything of its own.
func (t *trace) began() bool { return t.statements+t.functions > 0 }

// onlyStatement says whether the step got no further than one statement.
func (t *trace) onlyStatement() bool {
	return t.statements == 1 && t.functions == 0 && single(t.statement)
}

func (t *trace) logger() *slog.Logger { return slog.New(traceHandler{t}) }

type traceHandler struct{ t *trace }

func (h traceHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h traceHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h traceHandler) WithGroup(string) slog.Handler            { return h }

func (h traceHandler) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if a.Key != "statement" {
			return true
		}
		h.t.announce(h.t.spell(a.Value.String()))
		return false
	})
	return nil
}
