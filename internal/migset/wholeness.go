package migset

import (
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// wholeness returns the faults of statements that goose has cut in two.
func (s *Set) wholeness(m Migration, script dryrun.Script) (faults []error) {
	if err := s.halfCut(m, script.Up, false); err != nil {
		faults = append(faults, s.contentFault(m, Up, err))
	}
	if err := s.halfCut(m, script.Down, true); err != nil {
		faults = append(faults, s.contentFault(m, Down, err))
	}
	return faults
}

// halfCut returns the fault of the first statement that goose has cut in two, or that has a dollar quote without
// an end. goose ends a statement at each semicolon at the end of a line, unless annotations say otherwise.
func (s *Set) halfCut(m Migration, statements []string, down bool) error {
	quoting, ok := s.dialect.Quoting()
	if !ok {
		return nil
	}
	for i, statement := range statements {
		what, at := "the body after BEGIN", 0
		quote, open := openQuote(quoting, statement)
		rest := strings.Join(statements[i+1:], "\n")
		switch body, unfinished := quoting.OpenBody(statement); {
		case quote != "" && strings.Contains(rest, quote):
			what, at = "the quote "+quote, open
		case strings.HasPrefix(quote, "$"):
			return fmt.Errorf("%sthe dollar quote %s has no end", s.line(m, statement, open, down), quote)
		case unfinished && rest != "":
			at = body
		default:
			continue
		}
		return fmt.Errorf("%sgoose ends a statement at a semicolon inside %s: put -- +goose StatementBegin before the function (or other "+
			"statement) and -- +goose StatementEnd after it", s.line(m, statement, at, down), what)
	}
	return nil
}

// openQuote is the quote that is open at the end of a statement however a backslash in it is taken, "" if there is none.
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

// line says where in its file something is, "" if that can't be found.
func (s *Set) line(m Migration, statement string, offset int, down bool) string {
	if n := s.Files.Line(m.Source, statement, offset, down); n > 0 {
		return fmt.Sprintf("line %d: ", n)
	}
	return ""
}
