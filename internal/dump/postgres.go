package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Connection is how pg_dump connects.
type Connection struct {
	Database string   // a connection string of libpq, without a password
	Env      []string // with the password
}

// libpq are the parameters of connection strings that drivers in Go and libpq have in common.
var libpq = []string{"host", "hostaddr", "port", "user", "dbname", "passfile", "sslmode", "sslcert", "sslkey", "sslrootcert", "connect_timeout", "options",
	"target_session_attrs", "service"}

var word = regexp.MustCompile(`(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']*)`)

// ConnectionTo makes a Connection of the DSN of a driver.
func ConnectionTo(dsn string) (c Connection, err error) {
	if !strings.Contains(dsn, "://") {
		var words []string
		for _, m := range word.FindAllStringSubmatch(dsn, -1) {
			switch value := strings.Trim(m[2], "'"); {
			case m[1] == "password":
				c.Env = append(c.Env, "PGPASSWORD="+strings.NewReplacer(`\'`, "'", `\\`, `\`).Replace(value))
			case slices.Contains(libpq, m[1]):
				words = append(words, m[0])
			}
		}
		c.Database = strings.Join(words, " ")
		return c, nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return c, errors.New("the DSN is not a URL")
	}
	if password, ok := u.User.Password(); ok {
		c.Env, u.User = append(c.Env, "PGPASSWORD="+password), url.User(u.User.Username())
	}
	query := u.Query()
	if password := query.Get("password"); password != "" {
		c.Env = append(c.Env, "PGPASSWORD="+password)
	}
	for name := range query {
		if !slices.Contains(libpq, name) {
			query.Del(name)
		}
	}
	u.RawQuery = query.Encode()
	u.RawQuery = strings.ReplaceAll(u.RawQuery, "+", "%20") // libpq takes no plus for a blank
	c.Database = u.String()
	return c, nil
}

var (
	// header is the comment of pg_dump before each entry.
	header = regexp.MustCompile(`(?m)^--\n-- (?:Data for )?Name: (.*); Type: ([A-Z ]+); Schema: .*\n--\n`)
	// settings are what pg_dump says between entries about where they belong.
	settings = regexp.MustCompile(`(?m)^SET (?:default_tablespace|default_table_access_method|default_with_oids) = .*;\n`)
)

const dumpEnd = "\n--\n-- PostgreSQL database dump complete\n"

func (s Source) readPostgres(ctx context.Context) (list []string, err error) {
	text, err := s.pgDump(ctx)
	if err != nil {
		return nil, err
	}
	// Whoever executes the checkpoint owns what this user, or the role that migrated (WithRole), owns here.
	owners, err := column(ctx, s.DB, "SELECT quote_ident(current_user) UNION SELECT quote_ident(tableowner) FROM pg_tables WHERE tablename = ANY ($1) AND schemaname = $2",
		arrayOf(s.Ignore), s.IgnoreIn)
	if err != nil {
		return nil, err
	}
	for i, name := range owners {
		owners[i] = regexp.QuoteMeta(name)
	}
	anyOwner := "(?:" + strings.Join(owners, "|") + ")"
	owner := regexp.MustCompile(`(?m)^ALTER .* OWNER TO ` + anyOwner + `;\n?`)
	defaults := regexp.MustCompile(`(?m)^ALTER DEFAULT PRIVILEGES FOR ROLE ` + anyOwner + ` `)
	text, _, whole := strings.Cut(text, dumpEnd)
	if !whole {
		return nil, errors.New("pg_dump: its output has no end")
	}
	heads := header.FindAllStringSubmatchIndex(text, -1)
	for i, at := range heads {
		name, kind := text[at[2]:at[3]], text[at[4]:at[5]]
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		switch {
		case kind == "SCHEMA" && name == s.Schema:
			continue
		case kind == "COMMENT" && strings.HasPrefix(name, "EXTENSION "):
			continue // an extension that is there already may belong to somebody else
		}
		body := owner.ReplaceAllString(settings.ReplaceAllString(text[at[1]:end], ""), "")
		body = defaults.ReplaceAllString(body, "ALTER DEFAULT PRIVILEGES ")
		if body = s.anywhere(strings.TrimSpace(body)); body != "" {
			list = append(list, body)
		}
	}
	return list, nil
}

// arrayOf is a PostgreSQL array as text.
func arrayOf(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

// anywhere takes the schema out of an entry, so that it belongs wherever the search_path leads.
func (s Source) anywhere(text string) string {
	if s.Schema == "" || !strings.Contains(text, s.Schema) {
		return text
	}
	text = regexp.MustCompile(` SET search_path TO '`+s.Schema+`'(?:, (?:'[^']*'|\w+))*`).ReplaceAllString(text, " SET search_path FROM CURRENT")
	text = strings.ReplaceAll(strings.ReplaceAll(text, " WITH SCHEMA "+s.Schema, ""), s.Schema+".", "")
	if !strings.Contains(text, s.Schema) {
		return text
	}
	text = strings.ReplaceAll(text, s.Schema, placeholder)
	return "DO $gooseplus$ BEGIN EXECUTE replace($statement$" + text + "$statement$, '" + placeholder + "', quote_ident(current_schema())); END $gooseplus$;"
}

// placeholder stands for the schema in statements that have to name it.
const placeholder = "gooseplus_this_schema"

// pgDump executes pg_dump, as a developer has it.
func (s Source) pgDump(ctx context.Context) (string, error) {
	path, err := exec.LookPath("pg_dump")
	if err != nil {
		return "", fmt.Errorf("pg_dump is not in PATH: it is needed to write a checkpoint, and never to run one: %s", s.install(ctx))
	}
	args := []string{"--dbname=" + s.Connection.Database, "--column-inserts", "--rows-per-insert=" + fmt.Sprint(rowsAtOnce), "--no-tablespaces", "--encoding=UTF8", "--no-password"}
	for _, table := range s.Ignore {
		args = append(args, "--exclude-table="+dialect.Quoted(s.IgnoreIn)+"."+dialect.Quoted(table))
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), s.Connection.Env...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if found := mismatch.FindStringSubmatch(complaint.String()); found != nil {
			return "", fmt.Errorf("%s is of version %s, and can't read a server of version %s: %s", path, found[2], found[1], s.install(ctx))
		}
		return "", fmt.Errorf("pg_dump: %w: %s", err, strings.Join(strings.Fields(complaint.String()), " "))
	}
	return out.String(), nil
}

// mismatch is what pg_dump says that is older than the server.
var mismatch = regexp.MustCompile(`server version: ([^;]*); pg_dump version: (\S*)`)

// install says which pg_dump to install.
func (s Source) install(ctx context.Context) string {
	version, err := column(ctx, s.DB, "SELECT current_setting('server_version_num')::int / 10000")
	if err != nil || len(version) != 1 {
		return "install the PostgreSQL client of the server's version or a newer one, and put it first in PATH"
	}
	return fmt.Sprintf("install the PostgreSQL client of version %[1]s or a newer one (Debian and Ubuntu: postgresql-client-%[1]s; Alpine: postgresql%[1]s-client; macOS: brew install postgresql@%[1]s), and put it first in PATH", version[0])
}

// OnlyIn is a statement for PostgreSQL that fails unless objects without a schema in their names are made in this one.
func OnlyIn(schema string) string {
	return fmt.Sprintf("DO $gooseplus$ BEGIN IF current_schema() IS DISTINCT FROM '%[1]s' THEN RAISE EXCEPTION 'this checkpoint is for the schema %%, which its migrations name, and the search_path leads to %%',"+
		" '%[1]s', current_schema(); END IF; END $gooseplus$;", strings.ReplaceAll(schema, "'", "''"))
}
