package session

import (
	"database/sql/driver"
	"testing"
)

// TestCommitsByItself: what isn't known of a driver's connection is not told, so that the server is asked.
func TestCommitsByItself(t *testing.T) {
	type flag uint16
	for name, c := range map[string]struct {
		conn      driver.Conn
		on, known bool
	}{
		"on": {conn: &struct {
			driver.Conn
			status flag
		}{status: statusAutocommits}, on: true, known: true},
		"off": {conn: &struct {
			driver.Conn
			status flag
		}{status: 1}, known: true},
		"no answer yet": {conn: &struct {
			driver.Conn
			status flag
		}{}},
		"another kind": {conn: &struct {
			driver.Conn
			status string
		}{status: "ok"}},
		"another driver": {conn: &struct{ driver.Conn }{}},
		"no pointer":     {conn: struct{ driver.Conn }{}},
		"none":           {},
	} {
		if on, known := commitsByItself(c.conn); on != c.on || known != c.known {
			t.Errorf("%s: %v, known %v", name, on, known)
		}
	}
}
