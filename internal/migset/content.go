package migset

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Examine reads all files, and returns the faults in them and warnings.
func (s *Set) Examine(ctx context.Context) (faults []error, warnings []string) {
	bodies, faults := s.ReadAll(ctx)
	for _, c := range s.Checkpoints.list {
		faults = append(faults, s.Verify(ctx, c)...)
	}
	return faults, slices.Concat(s.refusedInTransaction(bodies), withoutWayBack(s, bodies), s.emptiedPaths(bodies))
}

// alone says whether a text is one statement that the database refuses in a transaction.
func alone(d dialect.Dialect) func(text string) bool {
	return func(text string) bool {
		is, _ := sqltext.Alone(text)
		return is && d.StandsAlone()
	}
}

// refusedInTransaction warns of statements that the database refuses in a transaction.
func (s *Set) refusedInTransaction(bodies map[int64]Body) (list []string) {
	if !s.dialect.StandsAlone() {
		return nil
	}
	for _, m := range s.List {
		b := bodies[m.Version]
		up, down := s.Sections(m, b)
		if b.Replay != 0 {
			down = Section{} // the other version gets the warning
		}
		for _, section := range []Section{up, down} {
			if warning := refusal(s.dialect, section); warning != "" {
				list = append(list, fmt.Sprintf("%s: %s", m, warning))
				break
			}
		}
	}
	return list
}

// withoutWayBack warns of SQL that runs outside a transaction and can't be undone.
func withoutWayBack(s *Set, bodies map[int64]Body) (list []string) {
	for _, m := range s.List {
		b, readable := bodies[m.Version]
		up, down := s.Sections(m, b)
		if !readable || up.IsGo || up.Transactional || down.IsGo || len(down.Statements) > 0 {
			continue
		}
		list = append(list, fmt.Sprintf("%s: runs outside a transaction and has no Down: if it fails, the database is dirty; write a Down that works in any state", m))
	}
	return list
}

// emptiedPath is what pg_dump writes near the beginning of a dump.
var emptiedPath = regexp.MustCompile(`(?i)\bset_config\(\s*'search_path'\s*,\s*''\s*,`)

// emptiedPaths warns of dumps whose later statements don't find tables by their unqualified names.
func (s *Set) emptiedPaths(bodies map[int64]Body) (list []string) {
	for _, m := range s.List {
		up, _ := s.Sections(m, bodies[m.Version])
		for _, statement := range up.Statements {
			at := emptiedPath.FindStringIndex(statement)
			if at == nil {
				continue
			}
			_, line := s.Files.Line(m.Version, statement, false, true, 1+utf8.RuneCountInString(statement[:at[0]]), sqltext.Occurrence{})
			list = append(list, fmt.Sprintf("%s: line %d empties the search_path, so that names without a schema are not found after it: "+
				"remove SELECT pg_catalog.set_config('search_path', '', false), which pg_dump has written", m, line))
			break
		}
	}
	return list
}

func refusal(d dialect.Dialect, section Section) string {
	for _, text := range section.Statements {
		is, among := sqltext.Alone(text)
		switch first := beginning(text); {
		case among && (d.StandsAloneInText() || section.Transactional):
			return fmt.Sprintf("a statement in %q can't run in a transaction: put it into a file of its own, with -- +goose NO TRANSACTION", first)
		case is && section.Transactional:
			return fmt.Sprintf("%q can't run in a transaction: put -- +goose NO TRANSACTION at the beginning of the file", first)
		}
	}
	return ""
}

// beginning returns the first words of a statement, which can hold data further on.
func beginning(text string) string {
	words := strings.Fields(sqltext.Uncommented(text))
	return strings.Join(words[:min(len(words), 4)], " ") + " …"
}

// wholeness returns the fault of each direction in which goose has cut a statement in two, in which a dollar quote has no
// end, or in which a NUL ends what is executed. goose ends a statement at each semicolon at the end of a line, unless
// annotations say otherwise.
func (s *Set) wholeness(m Migration, script dryrun.Script) (faults []error) {
	quoting, known := s.dialect.Quoting()
	of, err := envfs.Replayed(s.Files.Quoting, script.Up, script.Down)
	if err != nil {
		return nil // see replayOf
	}
	if of != 0 {
		script.Down = nil // it is no text
	}
	for d, statements := range [][]string{script.Up, script.Down} {
		direction := [...]string{Up, Down}[d]
		for i, statement := range statements {
			at, fault := strings.IndexByte(statement, 0), withNUL
			if at < 0 && known {
				at, fault = halfCut(quoting, statement, strings.Join(statements[i+1:], "\n"))
			}
			if at < 0 || fault == "" {
				continue
			}
			position := 1 + utf8.RuneCountInString(statement[:at])
			if _, line := s.Files.Line(m.Version, statement, direction == Down, true, position, sqltext.Occurrence{}); line > 0 {
				fault = fmt.Sprintf("line %d: %s", line, fault)
			}
			faults = append(faults, s.contentFault(m, direction, errors.New(fault)))
			break
		}
	}
	return faults
}

// withNUL is what is wrong with such a text.
const withNUL = "it has a NUL byte, at which SQLite ends without an error, and other databases with one: remove it"

// halfCut says what is wrong with a statement, and where in it, if the rest of the section shows that it isn't whole.
func halfCut(quoting sqltext.Quoting, statement, rest string) (at int, fault string) {
	if at, fault := notSQL(quoting, statement); fault != "" {
		return at, fault
	}
	what, at := "", 0
	quote, open := openQuote(quoting, statement)
	switch body, unfinished := quoting.OpenBody(statement); {
	case quote != "" && strings.Contains(rest, quote):
		what, at = "the quote "+quote, open
	case strings.HasPrefix(quote, "$"):
		return open, fmt.Sprintf("the dollar quote %s has no end", quote)
	case unfinished && rest != "":
		what, at = "the body after BEGIN", body
	default:
		return 0, ""
	}
	return at, fmt.Sprintf("goose ends a statement at a semicolon inside %s: put -- +goose StatementBegin before the function (or other "+
		"statement) and -- +goose StatementEnd after it", what)
}

// notSQL says what of a statement only a client understands, and where that is.
func notSQL(quoting sqltext.Quoting, statement string) (at int, fault string) {
	rest := quoting.Uncommented(statement)
	begin := len(statement) - len(rest)
	command, at := quoting.Meta(statement)
	switch {
	case quoting.Dollars && command != "":
		return at, command + " is a command of psql and no SQL: remove it"
	case quoting.Dollars && copying.MatchString(rest) && fromStdin.MatchString(quoting.Bare(rest)):
		return begin, "COPY FROM STDIN waits for rows from the client, and a migration has none: write INSERT (pg_dump --inserts does)"
	case quoting.Backslashes && delimiter.MatchString(rest):
		return begin, "DELIMITER is a command of the mysql client and no SQL: remove it, and put -- +goose StatementBegin before the routine and " +
			"-- +goose StatementEnd after it"
	}
	return 0, ""
}

var (
	copying   = regexp.MustCompile(`(?i)^copy\s`)
	fromStdin = regexp.MustCompile(`(?i)\sfrom\s+stdin\b`)
	delimiter = regexp.MustCompile(`(?i)^delimiter\s`)
)

// openQuote returns the quote that is open at the end of a statement, "" if there is none. It must be open whether backslashes
// escape or not.
func openQuote(q sqltext.Quoting, statement string) (quote string, at int) {
	quote, at = q.Open(statement)
	if q.Backslashes && quote != "" && strings.Contains(statement, `\`) {
		q.Backslashes, q.Brackets = false, true // NO_BACKSLASH_ESCAPES
		if other, _ := q.Open(statement); other == "" {
			return "", 0
		}
	}
	return quote, at
}
