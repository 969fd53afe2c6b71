package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus"
)

// runsDone is the data of runs.
type runsDone struct {
	Running *runRecorded  `json:"running"`
	Runs    []runRecorded `json:"runs"`
}

type runRecorded struct {
	Namespace string     `json:"namespace,omitempty"`
	Holder    string     `json:"holder"`
	Started   time.Time  `json:"started"`
	Ended     *time.Time `json:"ended"`
	From      int64      `json:"from"`
	To        *int64     `json:"to"`
	Outcome   string     `json:"outcome"`
	Error     *failure   `json:"error,omitempty"`
	// In progress
	Connection string     `json:"connection,omitempty"`
	At         int64      `json:"at,omitempty"`
	Source     string     `json:"source,omitempty"`
	Since      *time.Time `json:"since,omitempty"`
}

// progress says what a run is at.
func (d runRecorded) progress() string {
	text := fmt.Sprintf("%s since %s", clean(d.Holder), d.Started.Format(time.DateTime))
	if d.Connection != "" {
		text += ", " + d.Connection
	}
	if d.At > 0 {
		text += fmt.Sprintf(", at migration %d", d.At)
		if d.Source != "" {
			text += " (" + clean(d.Source) + ")"
		}
	}
	if d.Since != nil {
		text += " since " + d.Since.Format(time.DateTime)
	}
	return text
}

func newRunRecorded(w words, r gooseplus.Run) runRecorded {
	d := runRecorded{Namespace: r.Namespace, Holder: r.Holder, Started: r.Started, From: r.From, Outcome: string(r.Outcome)}
	if r.Error != "" {
		d.Error = &failure{Message: w.of(r.Error)}
	}
	if !r.Ended.IsZero() {
		d.Ended, d.To = &r.Ended, &r.To
	}
	if p := r.InProgress; p != nil {
		d.Connection, d.At, d.Source = p.Connection, p.Version, p.Source
		if !p.Since.IsZero() {
			d.Since = &p.Since
		}
	}
	return d
}

var outcomeColours = map[gooseplus.RunOutcome]colour{
	gooseplus.RunMigrated: green, gooseplus.RunRunning: yellow, gooseplus.RunRolledBack: yellow, gooseplus.RunForced: yellow,
	gooseplus.RunAccepted: yellow,
	gooseplus.RunFailed:   red, gooseplus.RunCutOff: red, gooseplus.RunCrashed: red,
}

func showRuns(c *call, limit int) error {
	if limit < 0 {
		return usagef("--limit %d is negative", limit)
	}
	m, err := c.migrator(c.ctx)
	if err != nil {
		return err
	}
	recorded, err := m.Runs(c.ctx)
	if err != nil {
		return err
	}
	data := newRunsDone(c.out.words, recorded, limit)
	c.data = data
	if d := data.Running; d != nil {
		c.out.line("the lock: %s (if that process is gone, the next run finds that out)", d.progress())
	} else {
		c.out.line("the lock: nobody has it")
	}
	if len(data.Runs) > 0 {
		shown := new(runsTable)
		shown.add("", recorded[:len(data.Runs)], c.out.words)
		c.out.line("")
		shown.show(c.out)
	}
	return nil
}

// newRunsDone has the newest runs, at most limit of them unless that is 0.
func newRunsDone(w words, recorded []gooseplus.Run, limit int) *runsDone {
	data := &runsDone{Runs: []runRecorded{}}
	for i, r := range recorded {
		d := newRunRecorded(w, r)
		if r.Outcome == gooseplus.RunRunning && data.Running == nil {
			data.Running = &d
		}
		if limit == 0 || i < limit {
			data.Runs = append(data.Runs, d)
		}
	}
	return data
}

// runsTable shows runs, with a column for tenants and one for namespaces if there are any.
type runsTable struct {
	rows                [][]cell
	tenants, namespaces bool
}

func (t *runsTable) add(tenant string, runs []gooseplus.Run, w words) {
	for _, r := range runs {
		took, to := "", ""
		if !r.Ended.IsZero() && r.Outcome != gooseplus.RunCutOff && r.Outcome != gooseplus.RunCrashed { // their end was found out later
			took, to = rounded(r.Ended.Sub(r.Started)), fmt.Sprint(r.To)
		}
		outcome := string(r.Outcome)
		if r.Outcome == gooseplus.RunMigrated && r.To < r.From {
			outcome = "migrated down"
		}
		t.tenants, t.namespaces = t.tenants || tenant != "", t.namespaces || r.Namespace != ""
		t.rows = append(t.rows, []cell{{text: tenant}, {text: r.Started.Format(time.DateTime)}, {text: r.Namespace}, {text: took}, {text: fmt.Sprint(r.From)}, {text: to},
			{outcome, outcomeColours[r.Outcome]}, {text: r.Holder}, {text: w.of(r.Error)}})
	}
}

// none adds a tenant without runs, or with an error.
func (t *runsTable) none(tenant, what, text string, c colour) {
	t.tenants = true
	t.rows = append(t.rows, []cell{{text: tenant}, {}, {}, {}, {}, {}, {what, c}, {}, {text: text}})
}

func (t *runsTable) show(p *printer) {
	rows := append([][]cell{cells("TENANT", "STARTED (UTC)", "NAMESPACE", "TOOK", "FROM", "TO", "OUTCOME", "HOLDER", "ERROR")}, t.rows...)
	for i := range rows {
		if !t.namespaces {
			rows[i] = slices.Delete(rows[i], 2, 3)
		}
		if !t.tenants {
			rows[i] = rows[i][1:]
		}
	}
	p.table(rows)
}
