package session

import (
	"context"
	"database/sql/driver"
)

// autocommit makes sure, for a guard of MySQL, that what is executed outside a transaction is committed, and that what
// is read is not what was there when the connection was used last: the server, the DSN or the application may have
// switched autocommit off. Nobody has to know it of the first statement, which is all that a look takes.
func (s *Session) autocommit(ctx context.Context, l *link) error {
	if !s.cfg.endsBySQL || l.inner == nil {
		return nil
	}
	s.mu.Lock()
	first, known := !s.used, s.commits[l.inner]
	s.used = true
	s.mu.Unlock()
	if first || known || l.set {
		return nil
	}
	row, err := l.queryRow(ctx, "SELECT @@autocommit")
	if err != nil {
		return err
	}
	if len(row) == 1 && (row[0] == int64(0) || row[0] == "0") {
		if err := l.run(ctx, []Statement{{Query: "SET autocommit = 1"}}); err != nil {
			return err
		}
		l.set = true
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
