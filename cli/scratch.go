package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/catalog"
	"github.com/gooseplus/gooseplus/internal/dump"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// scratch makes empty databases that a command drops again.
type scratch struct {
	set    migset.Description
	target dsnTarget
	shadow *sql.DB // nil on SQLite
	from   string  // the shadow's name
	id     string  // a word that is found nowhere else
	// schema is where migrations make what has no schema in its name, on PostgreSQL; "" is home.
	schema, home string
	made         []*scratchDatabase
	dir          string // of SQLite
}

// scratchDatabase is one of them.
type scratchDatabase struct {
	*scratch
	db   *sql.DB
	name string
	dsn  string
}

func newScratch(c *call, dsn string, set migset.Description) (s *scratch, err error) {
	s = &scratch{set: set, id: "gooseplus_" + strings.ToLower(rand.Text()[:12])}
	if !needsShadow(set.Dialect) {
		s.target.dialect = string(set.Dialect)
		s.dir, err = os.MkdirTemp("", "gooseplus-")
		return s, err
	}
	m, err := c.migrator(withPurpose(c.ctx, noDatabase))
	if err != nil {
		return nil, err
	}
	if dsn == "" {
		return nil, usagef("there is no shadow: set --shadow, or GOOSEPLUS_SHADOW_DSN, to the DSN of an empty database that nobody uses")
	}
	if s.target, err = parseDSN(dsn, c.settings.database.driver); err != nil {
		return nil, usagef("--shadow: %w", err)
	}
	own := c.settings.database.dsn
	if c.settings.standalone {
		c.settings.database.dsn = "" // it is the shadow here
	}
	s.shadow, err = c.shadow(m, dsn, c.settings.database.driver)
	c.settings.database.dsn = own
	if err != nil {
		return nil, err
	}
	s.shadow.SetMaxOpenConns(1) // PostgreSQL copies no database that has another connection
	query := "SELECT DATABASE(), ''"
	if set.Dialect == goose.DialectPostgres {
		query = "SELECT current_database(), COALESCE(current_schema(), '')"
	}
	if err := s.shadow.QueryRowContext(c.ctx, query).Scan(&s.from, &s.home); err != nil {
		return nil, err
	}
	return s, s.empty(c.ctx)
}

// empty refuses a shadow that has anything in it.
func (s *scratch) empty(ctx context.Context) error {
	there, err := catalog.Read(ctx, s.shadow, catalog.Scope{Dialect: s.set.Dialect})
	if err != nil {
		return err
	}
	var names []string
	for key, o := range there {
		if o.Drop != "" && !slices.Contains([]string{"language", "extension", "schema"}, o.Kind) {
			names = append(names, key)
		}
	}
	if len(names) > 0 {
		return &refusedError{fmt.Errorf("the shadow must be empty, and has %d objects (%s, …): nothing was touched; drop it and create it again, or use another database", len(names), slices.Min(names))}
	}
	return nil
}

// create makes a database, and the schema in it.
func (s *scratch) create(ctx context.Context) (*scratchDatabase, error) {
	d := &scratchDatabase{scratch: s, name: fmt.Sprintf("%s_%d", s.id, len(s.made))}
	var create []string
	switch s.set.Dialect {
	case goose.DialectPostgres:
		create = []string{fmt.Sprintf(`CREATE DATABASE %s TEMPLATE "%s"`, d.name, strings.ReplaceAll(s.from, `"`, `""`))}
		if s.schema != "" {
			create = append(create, fmt.Sprintf(`ALTER DATABASE %s SET search_path = %s, "$user", public`, d.name, s.schema))
		}
		d.dsn = inDatabase(s.target.dsn, d.name)
	case goose.DialectMySQL:
		var charset, collation string
		if err := s.shadow.QueryRowContext(ctx, "SELECT @@character_set_database, @@collation_database").Scan(&charset, &collation); err != nil {
			return nil, err
		}
		create = []string{"CREATE DATABASE `" + d.name + "` CHARACTER SET " + charset + " COLLATE " + collation}
		d.dsn = inDatabase(s.target.dsn, d.name)
	default:
		d.dsn = sqliteDSN(filepath.Join(s.dir, d.name+".db"))
	}
	s.made = append(s.made, d)
	for _, statement := range create {
		if _, err := s.shadow.ExecContext(ctx, statement); err != nil {
			return nil, &refusedError{fmt.Errorf("the shadow can't be copied: %w: the user needs the right to create databases, and nobody else may be connected to the shadow", err)}
		}
	}
	t := s.target
	t.dsn, t.given = d.dsn, cmp.Or(t.given, d.dsn)
	db, err := t.open(false)
	if err != nil {
		return nil, err
	}
	if d.db = db; s.schema != "" {
		_, err = db.ExecContext(ctx, "CREATE SCHEMA "+s.schema+"; GRANT ALL ON SCHEMA "+s.schema+" TO PUBLIC") // WithRole may not be this user
	}
	return d, err
}

var keywordName = regexp.MustCompile(`\bdbname\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`)

// inDatabase is the DSN of another database of the same server.
func inDatabase(dsn, name string) string {
	if u, err := url.Parse(dsn); err == nil && strings.Contains(dsn, "://") {
		u.Path = "/" + name
		query := u.Query()
		query.Del("dbname")
		u.RawQuery = query.Encode()
		return u.String()
	}
	if at := strings.LastIndex(dsn, "/"); guess(dsn) == "mysql" && at >= 0 {
		_, options, has := strings.Cut(dsn[at+1:], "?")
		if has {
			name += "?" + options
		}
		return dsn[:at+1] + name
	}
	return keywordName.ReplaceAllString(dsn, "") + " dbname=" + name
}

// drop removes what create has made, also after the end of ctx.
func (s *scratch) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var errs []error
	for _, d := range s.made {
		if d.db != nil {
			errs = append(errs, d.db.Close())
		}
		statement := map[goose.Dialect]string{
			goose.DialectPostgres: "DROP DATABASE IF EXISTS " + d.name + " WITH (FORCE)",
			goose.DialectMySQL:    "DROP DATABASE IF EXISTS `" + d.name + "`",
		}[s.set.Dialect]
		if statement == "" {
			continue
		}
		if _, err := s.shadow.ExecContext(ctx, statement); err != nil {
			errs = append(errs, fmt.Errorf("the database %s remains and can be dropped: %w", d.name, err))
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// read returns the statements that make what the database has.
func (d *scratchDatabase) read(ctx context.Context) ([]string, error) {
	source := dump.Source{Dialect: d.set.Dialect, DB: d.db, Ignore: d.set.Tables, IgnoreIn: d.set.TablesIn}
	if d.set.Dialect == goose.DialectPostgres {
		var err error
		source.Schema, source.IgnoreIn = d.schema, cmp.Or(d.set.TablesIn, d.schema, d.home)
		if source.Connection, err = dump.ConnectionTo(d.dsn); err != nil {
			return nil, err
		}
	}
	return dump.Read(ctx, source)
}

// differences are the objects that another database has not, or has otherwise.
func (d *scratchDatabase) differences(ctx context.Context, other *scratchDatabase) (list []string, err error) {
	var catalogs []catalog.Catalog
	for _, one := range []*scratchDatabase{d, other} {
		c, err := catalog.Read(ctx, one.db, catalog.Scope{Dialect: d.set.Dialect, Ignore: d.set.Tables, IgnoreIn: d.set.TablesIn})
		if err != nil {
			return nil, err
		}
		for key, o := range c { // MySQL's views name the database
			o.Definition = strings.NewReplacer("`"+one.name+"`.", "", one.name+".", "").Replace(o.Definition)
			c[key] = o
		}
		catalogs = append(catalogs, c)
	}
	for _, difference := range catalog.Diff(catalogs[0], catalogs[1]) {
		switch difference.Change {
		case catalog.Added:
			list = append(list, difference.Key()+" is there only with the checkpoint")
		case catalog.Removed:
			list = append(list, difference.Key()+" is missing with the checkpoint")
		default:
			list = append(list, fmt.Sprintf("%s: the migrations make %q, the checkpoint %q", difference.Key(), difference.Was.Definition, difference.Definition))
		}
	}
	return list, nil
}
