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
	data := &runsDone{Runs: []runRecorded{}}
	rows := [][]cell{cells("STARTED (UTC)", "TOOK", "FROM", "TO", "OUTCOME", "HOLDER", "ERROR")}
	namespaces := slices.ContainsFunc(recorded, func(r gooseplus.Run) bool { return r.Namespace != "" })
	for i, r := range recorded {
		d := newRunRecorded(c.out.words, r)
		if r.Outcome == gooseplus.RunRunning && data.Running == nil {
			data.Running = &d
		}
		if limit > 0 && i >= limit {
			continue
		}
		data.Runs = append(data.Runs, d)
		took, to := "", ""
		if d.Ended != nil {
			took, to = rounded(r.Ended.Sub(r.Started)), fmt.Sprint(r.To)
			if r.Outcome == gooseplus.RunCutOff || r.Outcome == gooseplus.RunCrashed {
				took, to = "", "" // when its end was found out, and where it was then, is not known
			}
		}
		rows = append(rows, []cell{{text: r.Started.Format(time.DateTime)}, {text: took}, {text: fmt.Sprint(r.From)}, {text: to},
			{string(r.Outcome), outcomeColours[r.Outcome]}, {text: r.Holder}, {text: c.out.of(r.Error)}})
	}
	c.data = data
	if d := data.Running; d != nil {
		c.out.line("the lock: %s (if that process is gone, the next run finds that out)", d.progress())
	} else {
		c.out.line("the lock: nobody has it")
	}
	if len(rows) > 1 {
		if namespaces {
			rows[0] = slices.Insert(rows[0], 1, cell{text: "NAMESPACE"})
			for i, d := range data.Runs {
				rows[i+1] = slices.Insert(rows[i+1], 1, cell{text: d.Namespace})
			}
		}
		c.out.line("")
		c.out.table(rows)
	}
	return nil
}
