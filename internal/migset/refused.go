package migset

import (
	"context"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Examine reads all files, and returns the faults in them and warnings.
func (s *Set) Examine(ctx context.Context) (faults []error, warnings []string) {
	bodies, faults := s.ReadAll(ctx)
	return faults, s.refusedInTransaction(bodies)
}

// alone says whether a text is one statement that the database refuses in a transaction.
func (s *Set) alone(text string) bool {
	is, _ := sqltext.Alone(text)
	return is && s.dialect.StandsAlone()
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
			if warning := s.refusal(section); warning != "" {
				list = append(list, fmt.Sprintf("%s: %s", m, warning))
				break
			}
		}
	}
	return list
}

func (s *Set) refusal(section Section) string {
	for _, text := range section.Statements {
		is, among := sqltext.Alone(text)
		switch first := beginning(text); {
		case among && (s.dialect.StandsAloneInText() || section.Transactional):
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
