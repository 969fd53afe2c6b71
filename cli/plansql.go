package cli

import (
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// printSQL prints what the steps would execute, as a script.
func printSQL(c *call, m *gooseplus.Migrator, steps []gooseplus.Step) error {
	data := newPlanned(steps)
	var script []string
	for i, s := range steps {
		statements, err := m.Statements(c.ctx, s)
		if err != nil {
			return err
		}
		data[i].SQL = strings.Join(statements, "\n")
		script = append(script, scriptOf(s, statements)...)
	}
	c.data = map[string]any{"steps": data}
	if len(steps) == 0 {
		script = []string{"-- nothing to do"}
	}
	for _, text := range script {
		for line := range strings.SplitSeq(text, "\n") {
			c.out.line("%s", clean(strings.TrimSuffix(line, "\r")))
		}
	}
	return nil
}

// scriptOf is one migration of a script.
func scriptOf(s gooseplus.Step, statements []string) (script []string) {
	name := strings.TrimSpace(fmt.Sprintf("%s %d", s.Namespace, s.Version))
	if s.Source != "" {
		name += " " + s.Source
	}
	script = append(script, "-- "+name+" "+s.Direction)
	if len(statements) == 0 {
		return append(script, "-- no SQL", "")
	}
	if s.Transactional {
		script = append(script, "BEGIN;")
	}
	for _, text := range statements {
		text = strings.TrimSpace(text)
		if !strings.HasSuffix(text, ";") {
			if sqltext.EndsInComment(text) {
				text += "\n"
			}
			text += ";"
		}
		script = append(script, text)
	}
	if s.Transactional {
		script = append(script, "COMMIT;")
	}
	return append(script, "")
}
