package locks

import (
	"database/sql/driver"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// metadata is put before the name of a metadata lock, and exclusive is the one that DDL takes, if only for a moment.
const (
	metadata  = "metadata "
	exclusive = metadata + "EXCLUSIVE"
)

// mysql knows the tables that existed before the migration, in lower case.
type mysql struct{ existed map[string]bool }

// longTimeout is a lock_wait_timeout, in seconds, that is none: the default is a day (MariaDB) or a year (MySQL).
const longTimeout = 3600

const (
	mysqlSettings = "SELECT IF(@@SESSION.lock_wait_timeout >= %d, 'long', ''), IF(@@GLOBAL.performance_schema, 'on', ''), IF(VERSION() LIKE '%%MariaDB%%', 'MariaDB', '')"
	mysqlTables   = "SELECT LOWER(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'"
	mysqlLocks    = "SELECT LOWER(OBJECT_NAME), LOCK_TYPE FROM performance_schema.metadata_locks WHERE OBJECT_TYPE = 'TABLE' AND OBJECT_SCHEMA = DATABASE() AND LOCK_STATUS = 'GRANTED' " +
		"AND OWNER_THREAD_ID = (SELECT THREAD_ID FROM performance_schema.threads WHERE PROCESSLIST_ID = CONNECTION_ID())"
	// mysqlCopy is a table for trials: a real one could keep nothing of them.
	mysqlCopy = "gooseplus_trace"
)

// beforeMySQL tries a DDL statement on a copy of its table, to see with which algorithm the server can do it. Nothing is left
// of its locks at its end: it commits.
func (r *Recorder) beforeMySQL(s *Statement, ask Ask, add func(time.Duration, error) error) (func(time.Duration, error) error, error) {
	rows, err := ask(fmt.Sprintf(mysqlSettings, longTimeout))
	if err != nil {
		return nil, fmt.Errorf("the locks can't be read: %w", err)
	}
	settings := stringsOf(rows[0])
	s.noTimeout = settings[0] != ""
	tables, err := ask(mysqlTables)
	if err != nil {
		return nil, fmt.Errorf("the tables can't be read: %w", err)
	}
	existed := r.existed(tables)
	ddl := ddlOf(s.Text)
	if existed[ddl.table] {
		ddl.try(s, ask, settings[2] != "")
	}
	return func(took time.Duration, failed error) error {
		if s.ran = failed == nil; s.ran && ddl.table == "" {
			r.observeMySQL(s, ask, existed, settings[1] != "")
		}
		return add(took, failed)
	}, nil
}

// existed are the tables that were there when the migration began, of which these are now.
func (r *Recorder) existed(now [][]driver.Value) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mysql.existed == nil {
		r.mysql.existed = make(map[string]bool)
		for _, row := range now {
			r.mysql.existed[stringsOf(row)[0]] = true
		}
	}
	return r.mysql.existed
}

// observeMySQL reads what the transaction has locked.
func (r *Recorder) observeMySQL(s *Statement, ask Ask, existed map[string]bool, readable bool) {
	var rows [][]driver.Value
	if readable {
		var err error
		rows, err = ask(mysqlLocks)
		readable = err == nil
	}
	if !readable {
		r.note("metadata locks of statements that are no DDL are not available: performance_schema is off, or its tables metadata_locks and threads can't be read")
		return
	}
	s.Known = Observed
	for _, row := range rows {
		if lock := stringsOf(row); existed[lock[0]] {
			s.Locks = append(s.Locks, Lock{Table: lock[0], Mode: metadata + lock[1]})
		}
	}
	s.Locks = sorted(s.Locks)
}

func stringsOf(row []driver.Value) []string {
	list := make([]string, len(row))
	for i, v := range row {
		if v != nil {
			list[i] = fmt.Sprint(v)
		}
	}
	return list
}

// ddl is a statement that changes a table of MySQL.
type ddl struct {
	table    string // in lower case, without quotes; "" for any other statement
	from, to int    // where its name is in the text
	text     string
	options  string // what comes before ALGORITHM, "" if the statement can't have it
}

const mysqlName = "(`[^`]+`|[\\w$]+)"

var ddls = []struct {
	pattern *regexp.Regexp
	options string
}{
	{regexp.MustCompile(`(?is)^alter\s+(?:online\s+)?(?:ignore\s+)?table\s+(?:if\s+exists\s+)?` + mysqlName), ", "},
	{regexp.MustCompile(`(?is)^(?:create\s+(?:or\s+replace\s+)?(?:online\s+)?(?:unique\s+|fulltext\s+|spatial\s+)?|drop\s+)index\s.*?\son\s+` + mysqlName), " "},
	{regexp.MustCompile(`(?is)^(?:truncate(?:\s+table)?|(?:drop|rename|optimize)\s+tables?(?:\s+if\s+exists)?)\s+` + mysqlName), ""},
	{regexp.MustCompile(`(?is)^create\s.*?\btrigger\s.*?\son\s+` + mysqlName), ""},
}

func ddlOf(text string) ddl {
	text = strings.TrimRight(sqltext.Uncommented(text), "; \t\r\n")
	for _, d := range ddls {
		if at := d.pattern.FindStringSubmatchIndex(text); at != nil {
			return ddl{strings.ToLower(strings.Trim(text[at[2]:at[3]], "`")), at[2], at[3], text, d.options}
		}
	}
	return ddl{}
}

// algorithms are how a server can change a table, the best first. MySQL has no NOCOPY.
var algorithms = []struct{ algorithm, lock string }{
	{"INSTANT", ""}, {"NOCOPY", "NONE"}, {"INPLACE", "NONE"}, {"NOCOPY", "SHARED"}, {"INPLACE", "SHARED"}, {"COPY", ""},
}

// try finds out the best algorithm that the server takes for the statement, and what that blocks.
func (d ddl) try(s *Statement, ask Ask, mariadb bool) {
	s.Known = Documented
	lock := Lock{Table: d.table, Mode: exclusive}
	defer func() { s.Locks = []Lock{lock} }()
	if d.options == "" {
		return
	}
	lock.Algorithm = "unknown: the server can't do it on a copy"
	if strings.Contains(strings.ToLower(d.text), "algorithm") {
		lock.Algorithm = "as the statement says"
		return
	}
	drop := func() { _, _ = ask("DROP TABLE IF EXISTS " + mysqlCopy) }
	defer drop()
	drop()
	if _, err := ask("CREATE TABLE " + mysqlCopy + " LIKE " + d.text[d.from:d.to]); err != nil {
		return
	}
	for _, a := range algorithms {
		option, name := d.options+"ALGORITHM="+a.algorithm, a.algorithm
		if a.lock != "" {
			option, name = option+d.options+"LOCK="+a.lock, name+", LOCK="+a.lock
		}
		if _, err := ask(d.text[:d.from] + mysqlCopy + d.text[d.to:] + option); err != nil {
			continue
		}
		s.Known, lock.Algorithm = Tried, name
		lock.Rewrite = a.algorithm == "COPY" || mariadb && a.algorithm == "INPLACE"
		switch {
		case a.algorithm == "COPY":
			s.effects.copied = map[string]string{d.table: fmt.Sprintf("copies %s (ALGORITHM=COPY): until it is done, nobody else can write to the table", d.table)}
		case a.lock == "SHARED":
			s.effects.copied = map[string]string{d.table: fmt.Sprintf("changes %s with LOCK=SHARED: until it is done, nobody else can write to the table", d.table)}
		}
		return
	}
}
