package session

import (
	"context"
	"database/sql/driver"
	"reflect"
)

// autocommit makes sure, for a guard of MySQL, that what is executed outside a transaction is committed, and that what
// is read is not what was there when the connection was used last: the server, the DSN or the application may have
// switched autocommit off, and a statement that only reads would leave a transaction open in the application's pool. Where
// the driver knows that it is on, the server isn't asked.
func (s *Session) autocommit(ctx context.Context, l *link) error {
	if !s.cfg.endsBySQL || l.inner == nil {
		return nil
	}
	s.mu.Lock()
	known := s.commits[l.inner]
	s.mu.Unlock()
	if known || l.commits {
		return nil
	}
	on, told := commitsByItself(l.inner)
	if !told {
		row, err := l.queryRow(ctx, "SELECT @@autocommit")
		if err != nil {
			return err
		}
		on = len(row) != 1 || row[0] != int64(0) && row[0] != "0"
	}
	if !on {
		if err := l.run(ctx, []Statement{{Query: "SET autocommit = 1"}}); err != nil {
			return err
		}
		l.commits = true
		l.prior = append(l.prior, Statement{Query: "SET autocommit = 0"})
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.commits == nil {
		s.commits = make(map[driver.Conn]bool)
	}
	s.commits[l.inner] = true
	return nil
}

// The flags of the server's status, which comes with every answer (MySQL's protocol, SERVER_STATUS_…).
const (
	_ = 1 << iota // in a transaction
	statusAutocommits
)

// commitsByItself says what the driver knows of the connection from the server's last answer. go-sql-driver/mysql has
// no other way to tell than its own field. A zero is what it has with autocommit off and, in old versions, before the first
// answer.
func commitsByItself(dc driver.Conn) (on, known bool) {
	v := reflect.ValueOf(dc)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return false, false
	}
	status := v.Elem().FieldByName("status")
	if !status.IsValid() || status.Kind() != reflect.Uint16 || status.Uint() == 0 {
		return false, false
	}
	return status.Uint()&statusAutocommits != 0, true
}
