package migset

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// wholeness returns the fault of each direction in which goose has cut a statement in two, or in which a dollar quote has no
// end. goose ends a statement at each semicolon at the end of a line, unless annotations say otherwise.
func (s *Set) wholeness(m Migration, script dryrun.Script) (faults []error) {
	quoting, ok := s.dialect.Quoting()
	if !ok {
		return nil
	}
	for d, statements := range [][]string{script.Up, script.Down} {
		direction := [...]string{Up, Down}[d]
		for i, statement := range statements {
			at, fault := halfCut(quoting, statement, strings.Join(statements[i+1:], "\n"))
			if fault == "" {
				continue
			}
			if line := s.Files.Line(m.Source, statement, at, direction == Down); line > 0 {
				fault = fmt.Sprintf("line %d: %s", line, fault)
			}
			faults = append(faults, s.contentFault(m, direction, errors.New(fault)))
			break
		}
	}
	return faults
}

// halfCut says what is wrong with a statement, and where in it, if the rest of the section shows that it isn't whole.
func halfCut(quoting sqltext.Quoting, statement, rest string) (at int, fault string) {
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
