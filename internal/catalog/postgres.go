package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// firstMade is the lowest oid of what initdb has not made (FirstNormalObjectId).
const firstMade = "16384"

// used finds the system catalogs that have an object which initdb hasn't made, and adds "" to them. The queries over the others
// find nothing, but planning each of them costs a new connection a millisecond.
func used(ctx context.Context, tx *sql.Tx) (catalogs map[string]bool, err error) {
	catalogs = map[string]bool{"": true}
	var questions []string
	for _, q := range postgresQueries {
		if made := q.madeIn(); made != "" {
			questions = append(questions, fmt.Sprintf("SELECT '%[1]s' WHERE EXISTS (SELECT FROM %[1]s WHERE oid >= %[2]s)", made, firstMade))
		}
	}
	err = Each(ctx, tx, strings.Join(questions, " UNION ALL "), func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		catalogs[name] = true
		return err
	})
	return catalogs, err
}

// madeIn is the system catalog that has no row of users where the query finds nothing; "" if the query always runs.
func (q postgresQuery) madeIn() string {
	if q.from == "" {
		return q.class
	}
	return q.made
}

// statement reads the objects with their comments and grants. It reads the grants of the default too, because they can be
// revoked.
func (q postgresQuery) statement() string {
	if q.from == "" {
		q.from, q.where = q.class+" o", "o.oid >= "+firstMade+" AND {made "+q.class+" o.oid}"
	}
	if q.class != "" {
		address := q.class + " " + cmp.Or(q.oid, "o.oid")
		class, oid, _ := strings.Cut(address, " ")
		q.name = cmp.Or(q.name, "{id "+address+"}")
		q.comment = cmp.Or(q.comment, fmt.Sprintf("obj_description(%s, '%s')", oid, class))
		q.drop = cmp.Or(q.drop, "'DROP ' || upper("+q.kind+") || ' ' || {id "+address+"}")
	}
	owner := "NULL"
	if q.owner != "" && q.kind != `'the database'` {
		owner = fmt.Sprintf("CASE WHEN %[1]s <> (SELECT datdba FROM pg_database WHERE datname = current_database()) THEN 'owner ' || %[1]s::regrole END", q.owner)
	}
	grants := "''"
	if q.acl != "" {
		grants = fmt.Sprintf(`(SELECT string_agg(concat_ws(' ', privilege_type, CASE WHEN is_grantable THEN 'with grant option' END) || E'\t'
			|| CASE grantee WHEN 0 THEN 'public' WHEN %s THEN 'its owner' ELSE grantee::regrole::text END, E'\n') FROM aclexplode(%s))`, cmp.Or(q.owner, "NULL"), q.acl)
	}
	text := func(expression string) string { return "COALESCE((" + cmp.Or(expression, "NULL") + ")::text, '')" }
	return written(fmt.Sprintf("SELECT %s, %s, %s, %s, COALESCE(%s, false), concat_ws(', ', NULLIF((%s)::text, ''), %s), %s, %s, %s FROM %s WHERE %s",
		text(q.kind), text(q.name), text(q.of), text(q.copyOf), cmp.Or(q.weak, "false"), cmp.Or(q.definition, "NULL"), owner,
		text(q.comment), text(grants), text(q.drop), q.from, q.where))
}

var abbreviation = regexp.MustCompile(`\{(\w+) ([^{}]+)\}`)

// written writes out the abbreviations of a query.
func written(query string) string {
	return abbreviation.ReplaceAllStringFunc(query, func(short string) string {
		word, rest, _ := strings.Cut(strings.Trim(short, "{}"), " ")
		class, oid, _ := strings.Cut(rest, " ")
		depends := "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '%s'::regclass AND e.objid = %s AND e.deptype IN (%s))"
		switch word {
		case "schema": // isn't the server's own
			return fmt.Sprintf(`%s NOT IN (SELECT oid FROM pg_namespace WHERE left(nspname, 3) = 'pg_' OR nspname = 'information_schema')`, rest)
		case "own": // is not part of an extension
			return fmt.Sprintf(depends, class, oid, "'e'")
		case "made": // nor came with another object
			return fmt.Sprintf(depends, class, oid, "'e', 'i'")
		case "id": // is what an object is named whatever the search_path is
			return fmt.Sprintf("(pg_identify_object('%s'::regclass, %s, 0)).identity", class, oid)
		case "bearer": // of a constraint is its table or its domain
			return "COALESCE(c.oid::regclass::text, k.contypid::regtype::text)"
		case "kind": // is the word for a relation
			return fmt.Sprintf(`CASE %s WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
				WHEN 'c' THEN 'type' ELSE 'table' END`, rest)
		case "fires":
			return fmt.Sprintf("CASE %s WHEN 'O' THEN '' WHEN 'D' THEN ', disabled' WHEN 'A' THEN ', enabled always' ELSE ', enabled on replicas' END", rest)
		case "function":
			return fmt.Sprintf("'%s ' || NULLIF(%s::oid, 0)::regproc", class, oid)
		}
		panic("no abbreviation " + short)
	})
}

// readPostgres reads in one transaction, with a search_path that no migration has set, because names and expressions depend on
// the search_path.
func readPostgres(ctx context.Context, db *sql.DB, scope Scope) (Catalog, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	return readIn(ctx, tx, scope)
}

func readIn(ctx context.Context, tx *sql.Tx, scope Scope) (Catalog, error) {
	d := dialect.Dialect{Goose: goose.DialectPostgres}
	path := "DEFAULT"
	if scope.Schema != "" {
		path = d.Quote(dialect.Name{Table: scope.Schema})
	}
	// To compile a query takes the server up to 200 ms, and each runs once.
	if _, err := tx.ExecContext(ctx, "SET LOCAL search_path TO "+path+"; SET LOCAL jit = off"); err != nil {
		return nil, err
	}
	used, err := used(ctx, tx)
	if err != nil {
		return nil, err
	}
	c := make(Catalog)
	for _, query := range postgresQueries {
		if !used[query.madeIn()] {
			continue
		}
		err := Each(ctx, tx, query.statement(), c.postgresObject)
		if err != nil {
			return nil, fmt.Errorf("%w in the query for %s", err, cmp.Or(query.class, query.kind))
		}
	}
	var ignored []string
	for _, name := range scope.Ignore {
		name = d.Quote(dialect.Name{Schema: scope.IgnoreIn, Table: name})
		var shown string
		if err := tx.QueryRowContext(ctx, "SELECT COALESCE(to_regclass("+d.Literal(name)+")::text, '')").Scan(&shown); err != nil {
			return nil, err
		}
		ignored = append(ignored, shown)
	}
	c.withoutTables(ignored)
	return c, nil
}

// postgresObject adds an object with its comment and its grants.
func (c Catalog) postgresObject(r *sql.Rows) error {
	var o Object
	var comment, grants string
	if err := r.Scan(&o.Kind, &o.Name, &o.Of, &o.CopyOf, &o.Weak, &o.Definition, &comment, &grants, &o.Drop); err != nil {
		return err
	}
	o.Definition = reread(o.Definition)
	c.add(o)
	if comment != "" {
		c.add(Object{Kind: "comment", Name: "on " + o.Key(), Of: o.Key(), Definition: comment})
	}
	for grant := range strings.Lines(grants) {
		privilege, grantee, _ := strings.Cut(strings.TrimSuffix(grant, "\n"), "\t")
		c.add(Object{Kind: "grant", Name: fmt.Sprintf("of %s on %s to %s", privilege, o.Key(), grantee), Of: o.Key()})
	}
	return nil
}

var (
	varcharItem = regexp.MustCompile(`'(?:[^']|'')*'::character varying`)
	varcharList = regexp.MustCompile(`\(ARRAY\[((?:` + varcharItem.String() + `(?:, )?)+)\]\)::text\[\]`)
)

// reread is an expression as PostgreSQL writes it after it has read its own text, which it does whenever the table is altered. The
// first time it writes a varchar IN ('a', 'b') in another way.
func reread(expression string) string {
	return varcharList.ReplaceAllStringFunc(expression, func(list string) string {
		return "ARRAY[" + varcharItem.ReplaceAllString(varcharList.FindStringSubmatch(list)[1], "($0)::text") + "]"
	})
}
