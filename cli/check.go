package cli

import (
	"errors"
	"fmt"
	"strings"
)

// checkError says what is not as it should be.
type checkError struct {
	code int
	text string
}

func (e *checkError) Error() string { return e.text }

// findings are what check finds.
type findings struct {
	Dirty   []int64 `json:"dirty"`
	Unknown []int64 `json:"unknown"`
	Edited  []int64 `json:"edited"`
	Pending []int64 `json:"pending"`

	texts []string
}

// add adds the findings in one namespace.
func (f *findings) add(namespace string, d *statusDone) {
	of := make(map[string][]int64)
	for _, m := range d.Migrations {
		state := m.State
		if state == "late" {
			state = "pending"
		}
		of[state] = append(of[state], m.Version)
	}
	for _, x := range []struct {
		state string
		all   *[]int64
	}{{"dirty", &f.Dirty}, {"unknown", &f.Unknown}, {"edited", &f.Edited}, {"pending", &f.Pending}} {
		*x.all = append(append([]int64{}, *x.all...), of[x.state]...)
		if len(of[x.state]) > 0 {
			f.texts = append(f.texts, fmt.Sprintf("%s%s: %s", prefix("", namespace), x.state, strings.Trim(fmt.Sprint(of[x.state]), "[]")))
		}
	}
}

// err is nil if there are none.
func (f *findings) err() error {
	if len(f.texts) == 0 {
		return nil
	}
	code := exitPending
	switch {
	case len(f.Dirty) > 0:
		code = exitNotUndone
	case len(f.Unknown) > 0:
		code = exitUnknown
	case len(f.Edited) > 0:
		code = exitEdited
	}
	return &checkError{code, strings.Join(f.texts, "; ")}
}

// checkDone is the data of check.
type checkDone struct {
	findings
	Differences []difference `json:"differences,omitempty"`
}

func check(c *call, shadow string) error {
	done := new(checkDone)
	err := statuses(c, done.add)
	if err != nil {
		return err
	}
	c.data = done
	c.warn(c.opened)
	found := done.err()
	if len(done.Dirty) > 0 {
		c.out.note("%s says how to end the dirty state", c.out.command("status"))
	}
	if shadow != "" {
		differences, err := differencesTo(c, c.opened, shadow)
		if err != nil {
			return errors.Join(found, err)
		}
		done.Differences = newDifferences(differences)
		if n := len(differences); n > 0 && found == nil {
			return differ(n)
		}
	}
	if found == nil {
		c.out.line("nothing is pending, dirty, edited or unknown")
	}
	return found
}
