package locks

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// postgresFacts reads what the connection's own transaction has locked and scanned, and what it sees of the tables. It takes
// no locks but on the catalogs.
const postgresFacts = `SELECT 'relation', c.oid::pg_catalog.text, COALESCE(i.indrelid, c.oid)::pg_catalog.text, c.oid::pg_catalog.regclass::pg_catalog.text,
	c.relkind::pg_catalog.text, c.relfilenode::pg_catalog.text, pg_catalog.pg_stat_get_xact_numscans(c.oid)::pg_catalog.text,
	(SELECT pg_catalog.string_agg(pg_catalog.concat(a.attnum, CASE WHEN a.attnotnull THEN '!' ELSE '?' END, a.attname), E'\n')
		FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p'))
	FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
	WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'i', 'I') AND c.relpersistence <> 't'
		AND c.relnamespace NOT IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname IN ('pg_catalog', 'pg_toast', 'information_schema'))
UNION ALL SELECT 'lock', l.relation::pg_catalog.text, l.mode, NULL, NULL, NULL, NULL, NULL FROM pg_catalog.pg_locks l
	WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
UNION ALL SELECT 'constraint', k.oid::pg_catalog.text, k.conrelid::pg_catalog.text, k.conname, k.contype::pg_catalog.text, NULL, NULL, NULL
	FROM pg_catalog.pg_constraint k WHERE k.contype IN ('c', 'f') AND k.convalidated
UNION ALL SELECT 'setting', pg_catalog.current_setting('lock_timeout'), pg_catalog.current_setting('track_counts'),
	pg_catalog.now()::pg_catalog.text, NULL, NULL, NULL, NULL`

// relation is a table, or an index of one.
type relation struct {
	table   string // its own oid, or that of the index's table
	name    string
	isIndex bool
	file    string // "0" if there is none
	scans   string // how often it was scanned in the transaction
	columns map[string]column
}

// column is a column of a table, which is known by its number.
type column struct {
	name    string
	notNull bool
}

// facts are what the server says at one moment, by oid.
type facts struct {
	relations   map[string]relation
	locks       map[string][]string // modes
	constraints map[string]constraint
	noTimeout   bool
	began       string // when the transaction did
}

type constraint struct{ table, name, kind string }

// camel is the boundary of two words in the name of a lock.
var camel = regexp.MustCompile(`([a-z])([A-Z])`)

// modeOf is a lock in the words of the manual: AccessExclusiveLock is ACCESS EXCLUSIVE.
func modeOf(name string) string {
	return strings.ToUpper(camel.ReplaceAllString(strings.TrimSuffix(name, "Lock"), "$1 $2"))
}

func readFacts(rows [][]driver.Value) (facts, error) {
	f := facts{relations: make(map[string]relation), locks: make(map[string][]string), constraints: make(map[string]constraint)}
	for _, row := range rows {
		s := stringsOf(row)
		switch s[0] {
		case "relation":
			r := relation{table: s[2], name: s[3], isIndex: s[4] == "i" || s[4] == "I", file: s[5], scans: s[6], columns: make(map[string]column)}
			for line := range strings.SplitSeq(s[7], "\n") {
				if at := strings.IndexAny(line, "!?"); at > 0 {
					r.columns[line[:at]] = column{line[at+1:], line[at] == '!'}
				}
			}
			f.relations[s[1]] = r
		case "lock":
			f.locks[s[1]] = append(f.locks[s[1]], modeOf(s[2]))
		case "constraint":
			f.constraints[s[1]] = constraint{s[2], s[3], s[4]}
		case "setting":
			if s[2] != "on" {
				return f, fmt.Errorf("the server doesn't count scans of tables (track_counts is off): a trace needs SET track_counts = on")
			}
			f.noTimeout, f.began = s[1] == "0", s[3]
		}
	}
	return f, nil
}

// postgres compares what the server says before and after a statement. It knows the tables that existed before the migration.
type postgres struct{ existed map[string]relation }

func (p *postgres) first(f facts) {
	if p.existed == nil {
		p.existed = f.relations
	}
}

// name is the table of a relation that existed before the migration, "" if it didn't.
func (p *postgres) name(oid string) string { return p.existed[p.existed[oid].table].name }

// held are the tables that nobody else can read.
func (p *postgres) held(f facts) (list []Lock) {
	for oid, modes := range f.locks {
		if name := p.name(oid); name != "" && slices.Contains(modes, accessExclusive) {
			list = append(list, Lock{Table: name, Mode: accessExclusive})
		}
	}
	return sorted(list)
}

// compare fills in what a statement did.
func (p *postgres) compare(s *Statement, before, after facts) {
	s.effects = effects{built: make(map[string][]string), constraints: make(map[string][]string), notNull: make(map[string][]string)}
	strongest, now := make(map[string]string), make(map[string]string)
	for oid, list := range after.locks {
		name := p.name(oid)
		for _, mode := range list {
			if name == "" {
				continue
			}
			now[name] = stronger(now[name], mode)
			if !slices.Contains(before.locks[oid], mode) {
				strongest[name] = stronger(strongest[name], mode)
			}
		}
	}
	empties := strings.EqualFold(firstWords(s.Text, 1), "truncate")
	rewritten := make(map[string]bool)
	indexScans := make(map[string]bool)
	for oid, was := range before.relations {
		is, there := after.relations[oid]
		name := p.name(oid)
		if !there || name == "" {
			continue
		}
		moved := was.file != "0" && was.file != is.file && !empties
		switch scanned := is.scans != was.scans && is.scans != "0"; {
		case was.isIndex:
			indexScans[name] = indexScans[name] || scanned
			continue
		case moved:
			rewritten[name] = true
		case scanned && !empties: // the empty indexes are built again
			s.effects.scanned = append(s.effects.scanned, name)
		}
		for number, c := range is.columns {
			if old, existed := was.columns[number]; existed && c.notNull && !old.notNull {
				s.effects.notNull[name] = append(s.effects.notNull[name], c.name)
			}
		}
	}
	slices.Sort(s.effects.scanned)
	files := make(map[string]bool)
	for _, r := range before.relations {
		files[r.file] = true // an altered column can leave its index as it was, under another number
	}
	for _, is := range after.relations {
		if name := p.name(is.table); is.isIndex && name != "" && is.file != "0" && !files[is.file] && !rewritten[name] && !empties {
			s.effects.built[name] = append(s.effects.built[name], is.name)
		}
	}
	for oid, k := range after.constraints {
		name := p.name(k.table)
		if _, was := before.constraints[oid]; was || name == "" || rewritten[name] {
			continue
		}
		if slices.Contains(s.effects.scanned, name) || k.kind == "f" && indexScans[name] {
			s.effects.constraints[name] = append(s.effects.constraints[name], k.name)
		}
	}
	for _, lists := range []map[string][]string{s.effects.built, s.effects.constraints, s.effects.notNull} {
		for _, list := range lists {
			slices.Sort(list)
		}
	}
	for _, table := range slices.Concat(s.tables(), slices.Collect(maps.Keys(rewritten))) {
		strongest[table] = cmp.Or(strongest[table], now[table]) // it may be locked by an earlier statement
	}
	s.Locks = locksOf(strongest, rewritten)
}

func locksOf(strongest map[string]string, rewritten map[string]bool) []Lock {
	list := []Lock{}
	for table, mode := range strongest {
		list = append(list, Lock{Table: table, Mode: mode, Rewrite: rewritten[table]})
	}
	return sorted(list)
}

func sorted(list []Lock) []Lock {
	slices.SortFunc(list, func(a, b Lock) int { return strings.Compare(a.Table, b.Table) })
	return slices.CompactFunc(list, func(a, b Lock) bool { return a.Table == b.Table })
}

func stronger(a, b string) string {
	if slices.Index(modes, a) < slices.Index(modes, b) {
		return b
	}
	return a
}

// documented are the locks of a statement that runs outside of transactions only, as the manual states them: when it has ended,
// nothing of its locks can be observed. The tables are those that have changed, and those that the statement names.
func (p *postgres) documented(s *Statement, before, after facts) {
	p.compare(s, before, after)
	s.Known = Documented
	rewritten, strongest := make(map[string]bool), make(map[string]string)
	mode := "SHARE UPDATE EXCLUSIVE" // CONCURRENTLY, VACUUM, ANALYZE
	text := strings.ToLower(sqltext.WithoutComments(s.Text))
	switch {
	case blocking.MatchString(text):
		mode = accessExclusive
	case strings.HasPrefix(text, "reindex") && !strings.Contains(text, "concurrently"):
		mode = "SHARE"
	}
	for _, l := range s.Locks {
		rewritten[l.Table] = l.Rewrite
	}
	touched := slices.Concat(slices.Collect(maps.Keys(rewritten)), slices.Collect(maps.Keys(s.effects.built)))
	for oid, r := range before.relations {
		_, there := after.relations[oid]
		if name := p.existed[r.table].name; name != "" && (r.isIndex && !there || !r.isIndex && names(text, name)) {
			touched = append(touched, name)
		}
	}
	partition := detached.FindString(text)
	for _, name := range touched {
		strongest[name] = mode
		if partition != "" && names(partition, name) {
			strongest[name] = accessExclusive // in the second of its transactions
		}
	}
	s.Locks = locksOf(strongest, rewritten)
}

var detached = regexp.MustCompile(`\bdetach\s+partition\s+\S+`)

var blocking = regexp.MustCompile(`^\s*(?:vacuum\s*(?:\([^)]*\bfull\b[^)]*\)|full\b)|cluster\b)`)

// names says whether a statement has a name, of which the schema may be left out.
func names(text, name string) bool {
	name = strings.ToLower(strings.Trim(name[strings.LastIndex(name, ".")+1:], `"`))
	return regexp.MustCompile(`(?:^|[^\w$])` + regexp.QuoteMeta(name) + `(?:$|[^\w$])`).MatchString(text)
}

// firstWords are the beginning of a statement on one line.
func firstWords(text string, most int) string {
	words := strings.Fields(sqltext.Quoting{Dollars: true}.Uncommented(text))
	return strings.Join(words[:min(most, len(words))], " ")
}
