package gooseplustest

import (
	"context"
	"crypto/sha256"
	"strconv"
	"sync"
)

// pgFacts are what a server says of itself when it is asked for the first time.
type pgFacts struct {
	mu       sync.Mutex
	known    *identity // guarded by mu; nil until somebody has asked
	strategy string    // guarded by mu; of CREATE DATABASE
}

// identity is what a template depends on besides its set: the user and the settings of his connections, which a DSN can
// have, and the server's version. It is asked for once, together with what decides how databases are copied.
func (f *pgFacts) identity(ctx context.Context, c *pgConn) (identity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known != nil {
		return *f.known, nil
	}
	// The settings are those that decide what a migration makes, or may do so: search_path, TimeZone, default_tablespace …
	// A copy has none of the database's own.
	rows, err := c.query(ctx, `SELECT version(), current_user::text, current_setting('server_version_num'), current_setting('fsync'),
		COALESCE(current_setting('file_copy_method', true), ''), COALESCE((SELECT string_agg(name || '=' || setting, E'\n' ORDER BY name)
			FROM pg_settings WHERE context IN ('user', 'superuser') AND source NOT IN ('default', 'database', 'database user')
			AND name <> ALL ('{application_name,client_encoding,client_min_messages,extra_float_digits}') AND name !~ '(^|_)(timeout|log)(_|$)'), '')`)
	if err != nil {
		return identity{}, err
	}
	row := rows[0]
	f.known, f.strategy = &identity{user: row[1], settings: row[5], version: row[0]}, strategy(row[2], row[3], row[4])
	return *f.known, nil
}

type identity struct{ user, settings, version string }

// template is the name of a set's template.
func (i identity) template(set *set) string {
	sum := sha256.New()
	lineage := digest(sum, set.lineage+" "+i.user+"\n"+i.settings)[:8]
	return templateName(set.project, lineage, digest(sum, set.key+" "+i.version)[:16])
}

// strategy is how the server copies a database of the size that migrations make fastest; benchmarks/ measures it. From
// PostgreSQL 15 on there is a choice. The default writes the pages to the log of the server; to copy the files
// takes two checkpoints, which cost little where nothing is synced to disk, and the files can share their blocks on some
// file systems from PostgreSQL 18 on.
func strategy(version, fsync, fileCopy string) string {
	if number, err := strconv.Atoi(version); err != nil || number < 150000 || fsync != "off" && fileCopy != "clone" {
		return ""
	}
	return " STRATEGY = FILE_COPY"
}

// copyStrategy is a clause of CREATE DATABASE, once identity has been asked for.
func (f *pgFacts) copyStrategy() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.strategy
}
