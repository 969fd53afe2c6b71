package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// quoting is what the database takes for quotes, false if that is not known.
func (ms *migrations) quoting() (q sqltext.Quoting, known bool) {
	switch ms.dialect.Goose {
	case goose.DialectPostgres:
		return sqltext.Quoting{Dollars: true}, true
	case goose.DialectMySQL:
		return sqltext.Quoting{Backslashes: true}, true
	case goose.DialectSQLite3:
		return sqltext.Quoting{Brackets: true}, true
	}
	return q, false
}

// halfCut returns the fault of the first statement that goose has cut in two, or that has a dollar quote without
// an end. goose ends a statement at each semicolon at the end of a line, unless annotations say otherwise.
func (ms *migrations) halfCut(m migration, statements []string, down bool) error {
	quoting, ok := ms.quoting()
	if !ok {
		return nil
	}
	for i, s := range statements {
		what, at := "the body after BEGIN", 0
		quote, open := ms.openQuote(quoting, s)
		rest := strings.Join(statements[i+1:], "\n")
		switch body, unfinished := quoting.OpenBody(s); {
		case quote != "" && strings.Contains(rest, quote):
			what, at = "the quote "+quote, open
		case strings.HasPrefix(quote, "$"):
			return fmt.Errorf("%sthe dollar quote %s has no end", ms.line(m, s, open, down), quote)
		case unfinished && rest != "":
			at = body
		default:
			continue
		}
		return fmt.Errorf("%sgoose ends a statement at a semicolon inside %s: put -- +goose StatementBegin before the function (or other "+
			"statement) and -- +goose StatementEnd after it", ms.line(m, s, at, down), what)
	}
	return nil
}

// openQuote is the quote that is open at the end of a statement however a backslash in it is taken, "" if there is none.
func (ms *migrations) openQuote(q sqltext.Quoting, statement string) (quote string, at int) {
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
func (ms *migrations) line(m migration, statement string, offset int, down bool) string {
	if n := ms.files.Line(m.source, statement, offset, down); n > 0 {
		return fmt.Sprintf("line %d: ", n)
	}
	return ""
}

// takesAlone says whether there are statements that the database refuses in a transaction.
func (ms *migrations) takesAlone() bool {
	return ms.dialect.Goose == goose.DialectPostgres || ms.dialect.Goose == goose.DialectSQLite3
}

// alone says of a text that it is one statement which the database refuses in a transaction.
func (ms *migrations) alone(text string) bool {
	is, _ := sqltext.Alone(text)
	return is && ms.takesAlone()
}

// refusedInTransaction warns of statements that the database will refuse where they are.
func (ms *migrations) refusedInTransaction(bodies map[int64]body) (list []string) {
	if !ms.takesAlone() {
		return nil
	}
	for _, m := range ms.list {
		b := bodies[m.version]
		up, down := ms.sections(m, b)
		if b.replay != 0 {
			down = section{} // told of the other version
		}
		for _, s := range []section{up, down} {
			if warning := ms.refusal(s); warning != "" {
				list = append(list, fmt.Sprintf("%s: %s", ref(m.version, m.source), warning))
				break
			}
		}
	}
	return list
}

func (ms *migrations) refusal(s section) string {
	for _, text := range s.statements {
		is, among := sqltext.Alone(text)
		switch first := firstLine(text); {
		case among && (ms.dialect.Goose == goose.DialectPostgres || s.transactional):
			return fmt.Sprintf("a statement in %q can't run in a transaction: put it into a file of its own, with -- +goose NO TRANSACTION", first)
		case is && s.transactional:
			return fmt.Sprintf("%q can't run in a transaction: put -- +goose NO TRANSACTION at the beginning of the file", first)
		}
	}
	return ""
}

// firstLine is the beginning of a statement, which can hold data further on.
func firstLine(text string) string {
	words := strings.Fields(sqltext.Uncommented(text))
	return strings.Join(words[:min(len(words), 4)], " ") + " …"
}

// examine reads all files, and returns the faults in them and what is suspicious.
func (ms *migrations) examine() (faults []error, warnings []string) {
	bodies := make(map[int64]body)
	errs := ms.read(context.Background(), ms.offline, ms.withSQL(ms.versions()), bodies)
	if err := ms.unreadable(errs, directionUp); err != nil {
		faults = append(faults, err)
	}
	return faults, ms.refusedInTransaction(bodies)
}

// wholeness are the faults of statements that goose has cut in two.
func (ms *migrations) wholeness(version int64, b body) error {
	m, _ := ms.find(version)
	fault := func(direction string, err error) error {
		if err == nil {
			return nil
		}
		return &MigrationError{Tenant: ms.tenant, Namespace: ms.namespace, Version: version, Source: m.source, Environment: m.environment,
			Direction: direction, Err: err}
	}
	return errors.Join(fault(directionUp, ms.halfCut(m, b.Up, false)), fault(directionDown, ms.halfCut(m, b.Down, true)))
}
