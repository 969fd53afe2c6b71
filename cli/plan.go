package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// planned is a step of plan.
type planned struct {
	Version       int64  `json:"version"`
	Source        string `json:"source"`
	Environment   string `json:"environment,omitempty"`
	Namespace     string `json:"namespace,omitempty"`
	Direction     string `json:"direction"`
	Transactional bool   `json:"transactional"`
	Reversible    bool   `json:"reversible"`
	SQL           string `json:"sql,omitempty"` // with --sql
}

// planOf is what up would do, or goto.
func planOf(c *call, to string) (*gooseplus.Migrator, []gooseplus.Step, error) {
	if to == "" {
		m, err := c.migrator(c.ctx)
		if err != nil {
			return nil, nil, err
		}
		steps, err := m.Plan(c.ctx)
		return m, steps, err
	}
	version, err := parseNumber(to)
	if err != nil {
		return nil, nil, err
	}
	m, err := c.one(c.ctx)
	if err != nil {
		return nil, nil, err
	}
	steps, err := m.PlanTo(c.ctx, version)
	return m, steps, mistaken(c.ctx, m, version, err)
}

func showPlan(c *call, to string, sql bool) error {
	m, steps, err := planOf(c, to)
	if err != nil {
		return err
	}
	c.warn(m)
	if sql {
		return printSQL(c, m, steps)
	}
	data := newPlanned(steps)
	c.data = map[string]any{"steps": data}
	if len(steps) == 0 {
		c.out.line("nothing to do")
		return nil
	}
	c.out.plan(data)
	return nil
}

func newPlanned(steps []gooseplus.Step) []planned {
	data := []planned{}
	for _, s := range steps {
		data = append(data, planned{s.Version, s.Source, s.Environment, s.Namespace, s.Direction, s.Transactional, s.Reversible, ""})
	}
	return data
}

// plan writes steps as a table.
func (p *printer) plan(steps []planned) {
	rows := [][]cell{cells("DO", "VERSION", "SOURCE", "NOTES")}
	for _, s := range steps {
		var notes []string
		if !s.Transactional {
			notes = append(notes, "can be left half-applied")
		}
		if !s.Reversible {
			notes = append(notes, "has no Down")
		}
		rows = append(rows, []cell{{s.Direction, green}, {text: strconv.FormatInt(s.Version, 10)}, {text: s.Source}, {strings.Join(notes, ", "), yellow}})
	}
	p.table(rows)
}

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
