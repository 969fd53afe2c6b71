package mutex

import (
	"database/sql"
	"fmt"
	"time"
)

// NewMySQL returns a user-level lock of MySQL or MariaDB. name is an SQL expression for its name, of 64 characters at most.
// The server keeps the lock no longer than idle if its holder says nothing.
func NewMySQL(db *sql.DB, name string, idle time.Duration) *Server {
	return &Server{db: db, words: words{
		begin:  fmt.Sprintf("SET @gooseplus_wait_timeout = @@SESSION.wait_timeout, SESSION wait_timeout = %d", max(1, int(idle.Seconds()))),
		try:    "SELECT " + name + ", QUOTE(" + name + "), GET_LOCK(" + name + ", 0), IS_USED_LOCK(" + name + ") = CONNECTION_ID(), @@SESSION.autocommit",
		check:  "SELECT IS_USED_LOCK('{key}') = CONNECTION_ID()",
		free:   "SELECT RELEASE_LOCK('{key}')",
		end:    "SET SESSION wait_timeout = @gooseplus_wait_timeout",
		lock:   name,
		holder: "SELECT IS_USED_LOCK({lock})",
		number: "connection id", takes: "GET_LOCK", shows: "IS_USED_LOCK",
	}}
}
