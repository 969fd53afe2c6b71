package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus"
)

// way is a command that leads out of a dirty state, and when it is the right one.
type way struct{ command, when string }

// waysTimeout limits the look at a dirty database, after the command has failed.
const waysTimeout = 5 * time.Second

// waysOut returns the force commands that fit a dirty database. If the failed migration came late, there is only one: forcing
// a version below it would also mark the applied migrations above it as not applied.
func waysOut(w words, s gooseplus.Status) []way {
	var failed []string
	var below, first, last int64
	for _, m := range s.Migrations {
		switch {
		case m.Failed:
			failed, last = append(failed, fmt.Sprint(m.Version)), m.Version
			if first == 0 {
				first = m.Version
			}
		case first == 0 && m.AppliedAt != nil:
			below = m.Version
		}
	}
	if len(failed) == 0 {
		return nil
	}
	name := "migration " + strings.Join(failed, " and ")
	to := func(version int64, when string) way {
		late := 0
		for _, m := range s.Migrations {
			if m.Version < version && m.AppliedAt == nil && !m.Failed {
				late++
			}
		}
		if late > 0 {
			when += fmt.Sprintf("; it marks %s as applied too", counted(late, "pending migration"))
		}
		return way{w.force(fmt.Sprint(version)), when}
	}
	if s.CurrentVersion > last {
		return []way{to(s.CurrentVersion, "when the database has all of "+name+": finish it by hand")}
	}
	return []way{to(below, "if nothing of "+name+" is left"), to(last, "if the database has all of "+name)}
}

// waysOut reads the status of a database, of each namespace, and returns the force commands that fit.
func (c *call) waysOut(w words, m *gooseplus.Migrator) (ways []way) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), waysTimeout)
	defer cancel()
	names := m.Namespaces()
	if len(names) == 0 {
		s, _ := m.Status(ctx) // a fault leaves the list empty
		return waysOut(w, s)
	}
	all, _ := m.NamespaceStatus(ctx) // likewise
	for _, name := range names {
		one := w
		one.scope = append(one.scope[:len(one.scope):len(one.scope)], "--namespace "+quoted(name))
		ways = append(ways, waysOut(one, all[name])...)
	}
	return ways
}

// waysOf returns the force commands for an error that says that the database is dirty.
func (c *call) waysOf(err error) []way {
	if !errors.Is(err, gooseplus.ErrDirty) || ExitCode(err) != exitNotUndone || c.opened == nil {
		return nil
	}
	if ways := c.waysOut(c.out.words, c.opened); len(ways) > 0 {
		return ways
	}
	return []way{{c.out.force("VERSION"), unknownWay}}
}

// unknownWay is when the way out of a database is right that can't be read.
const unknownWay = "with the version that the database is at"

// toldWays matches the ways out in the library's error of a dirty database.
var toldWays = regexp.MustCompile(`: repair the database, then (?:run|call) .*?(?: if it is complete|, once the migration is complete)`)

// besides is a text without the ways out, if these are listed below it.
func besides(ways []way, text string) string {
	if len(ways) == 0 || ways[0].when == unknownWay || strings.Contains(text, "if nothing of the checkpoint is left") {
		return text
	}
	return toldWays.ReplaceAllString(text, "")
}

// waysText lists the commands for a person to paste.
func waysText(ways []way) string {
	if len(ways) == 0 {
		return ""
	}
	width := 0
	for _, w := range ways {
		width = max(width, len(w.command))
	}
	var b strings.Builder
	b.WriteString("No migration runs until a person has repaired the database and has said which version it is at:\n")
	for _, w := range ways {
		fmt.Fprintf(&b, "    %-*s  # %s\n", width, w.command, w.when)
	}
	return b.String()
}
