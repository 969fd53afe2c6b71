package versions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3/database"
)

// Look is what AppliedTogether reads of one table, as AppliedAndFlag does.
type Look struct {
	Applied        []int64
	Flagged, Ready bool
}

// AppliedTogether is AppliedAndFlag for several tables of one database, each with its flag, in one statement.
// It fails if one of the tables is missing, that of a flag included, and for dialects that gooseplus leaves to
// goose.
func AppliedTogether(ctx context.Context, db database.DBTxConn, tables []*Table, flags []string) (looks []Look, err error) {
	var parts []string
	for i, t := range tables {
		if t.keyed == "" {
			return nil, errors.ErrUnsupported
		}
		parts = append(parts, fmt.Sprintf("SELECT %d AS part, id, version_id, CASE WHEN is_applied THEN 1 ELSE 0 END +"+
			" (SELECT CASE WHEN EXISTS (%s) THEN 2 ELSE 0 END) AS bits FROM %s", i, flags[i], t.Name()))
	}
	rows, err := db.QueryContext(ctx, strings.Join(parts, " UNION ALL ")+" ORDER BY 1, 2 DESC")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	looks = make([]Look, len(tables))
	lists := make([][]entry, len(tables))
	for rows.Next() {
		var part, id, version int64
		var bits int
		if err := rows.Scan(&part, &id, &version, &bits); err != nil {
			return nil, err
		}
		looks[part].Flagged, looks[part].Ready = bits&2 != 0, true
		lists[part] = append(lists[part], entry{version, bits&1 != 0})
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i, list := range lists {
		looks[i].Applied = newest(list)
	}
	return looks, nil
}
