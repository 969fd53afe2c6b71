package dump

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// ByName are statements to be compared: the columns of each INSERT are in the order of their names. On PostgreSQL a table that
// inherits can get its columns in another order than it had.
func ByName(dialect goose.Dialect, statements []string) []string {
	if dialect != goose.DialectPostgres {
		return statements
	}
	list := slices.Clone(statements)
	for i, s := range list {
		if strings.HasPrefix(s, "INSERT INTO ") {
			list[i] = byName(s)
		}
	}
	return list
}

// token is what the INSERTs of pg_dump consist of. A doubled quote is the end of one token and the beginning of the next.
var token = regexp.MustCompile(`'[^']*'|"[^"]*"|[(),;]|[^'"(),;]+`)

// byName reorders INSERTs. The first parentheses of each have the names of its columns, the others the values.
func byName(inserts string) string {
	var out strings.Builder
	var list []string // in the parentheses at hand
	var order []int   // nil before the names
	inside := false
	for _, t := range token.FindAllString(inserts, -1) {
		switch {
		case t == "(":
			inside, list = true, []string{""}
		case t == ")":
			if inside = false; order == nil {
				order = ordered(list)
			}
			out.WriteString("(" + strings.Join(inOrder(list, order), ", ") + ")")
		case inside && t == ",":
			list = append(list, "")
		case inside:
			list[len(list)-1] += strings.TrimPrefix(t, " ")
		default:
			if out.WriteString(t); t == ";" {
				order = nil
			}
		}
	}
	return out.String()
}

func inOrder(list []string, order []int) (sorted []string) {
	for _, i := range order {
		sorted = append(sorted, list[i])
	}
	return sorted
}

// ordered are the places of the names in their order.
func ordered(names []string) []int {
	places := make([]int, len(names))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return cmp.Compare(names[a], names[b]) })
	return places
}
