package gooseplustest

import (
	"context"
	"database/sql/driver"
	"errors"
	"maps"
	"slices"
)

// pgCopy is a database that is a copy of a template.
type pgCopy struct {
	name string
	conn driver.Conn // to it; nil if there is none yet
}

// pgSpare is a copy that is made while a test works with another one. It becomes the database of a test with the name that
// it has, and with its connection: to give it the name of the test takes ten times as long as everything else, and nobody
// may be connected meanwhile.
type pgSpare struct {
	pgCopy               // conn is read after made
	made   chan struct{} // closed when there is a database or an error
	err    error         // read after made
}

// prepare has a copy made for the next test, unless there is one.
func (s *pgServer) prepare(set *set, t *pgTemplate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spare != nil || t.name == "" {
		return
	}
	spare := &pgSpare{pgCopy: pgCopy{name: ownName(set.project, kindClone)}, made: make(chan struct{})}
	template, settings := t.name, t.settings
	begun := spares.begin(func() {
		ctx, cancel := context.WithTimeout(context.Background(), createLimit)
		defer cancel()
		if spare.err = s.create(ctx, spare.name, template, settings); spare.err == nil {
			spare.conn = s.tryConnect(ctx, spare.name)
		}
		close(spare.made)
		// Not before: a test may wait for that, and nobody waits for this.
		spares.failed(s.dropUsed(usedBatch))
	})
	if begun {
		t.spare = spare
	}
}

// usedBatch is how many databases of tests that are over are dropped together, at most twice as many wait for that. Each
// DROP DATABASE has the server write to its disk what is new in all other databases, among them the one of the next
// test: that is cheap right after another one.
const usedBatch = 4

// putOff leaves the database of a test that is over to the next goroutine that makes one. It is false if there is none, or
// if that has enough to do.
func (s *pgServer) putOff(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.used) == 2*usedBatch || !spares.are() {
		return false
	}
	s.used = append(s.used, name)
	return true
}

// dropUsed drops the databases of tests that are over, if there are so many.
func (s *pgServer) dropUsed(enough int) (err error) {
	s.mu.Lock()
	var used []string
	if len(s.used) >= enough {
		used, s.used = s.used, nil
	}
	s.mu.Unlock()
	for _, name := range used {
		err = errors.Join(err, s.drop(context.Background(), name))
	}
	return err
}

// tryConnect connects to a database. If that fails, who needs the connection will hear why: a test may wait for one, this
// doesn't.
func (s *pgServer) tryConnect(ctx context.Context, database string) driver.Conn {
	connector, err := s.connector(database)
	if err != nil {
		return nil
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil
	}
	return conn
}

// takeSpare returns what has been prepared, for one test.
func (t *pgTemplate) takeSpare() *pgSpare {
	t.mu.Lock()
	defer t.mu.Unlock()
	spare := t.spare
	t.spare = nil
	return spare
}

// adopt waits for the database. It is false if there is none: the test copies the template then, and says what is wrong
// if that fails too. The wait is not longer than createLimit, and shorter than for a copy that begins now.
func (s *pgServer) adopt(ctx context.Context, spare *pgSpare) bool {
	<-spare.made
	if spare.err != nil {
		return false
	}
	if spare.conn == nil {
		return true
	}
	if pinger, ok := spare.conn.(driver.Pinger); !ok || pinger.Ping(ctx) == nil {
		return true
	}
	_ = s.dropSpare(ctx, spare) // somebody has dropped it already, or the connection is cut
	return false
}

func (s *pgServer) dropSpare(ctx context.Context, spare *pgSpare) error {
	if spare.conn != nil {
		_ = spare.conn.Close()
	}
	return s.drop(ctx, spare.name)
}

// dropSpares removes what no test has taken, and what is left of those that are over, once no more are made.
func dropSpares() error {
	pgServers.Lock()
	servers := slices.Collect(maps.Values(pgServers.byDSN))
	pgServers.Unlock()
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.dropUsed(0))
		for _, spare := range s.takeSpares() {
			if <-spare.made; spare.err == nil {
				errs = append(errs, s.dropSpare(context.Background(), spare))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *pgServer) takeSpares() (list []*pgSpare) {
	s.mu.Lock()
	templates := slices.Collect(maps.Values(s.templates))
	s.mu.Unlock()
	for _, t := range templates {
		if spare := t.takeSpare(); spare != nil {
			list = append(list, spare)
		}
	}
	return list
}

// connected is a connector that has a connection already.
type connected struct {
	driver.Connector
	first chan driver.Conn
}

// withFirst makes the connector begin with conn, unless that is nil.
func withFirst(c driver.Connector, conn driver.Conn) driver.Connector {
	if conn == nil {
		return c
	}
	first := make(chan driver.Conn, 1)
	first <- conn
	return connected{c, first}
}

func (c connected) Connect(ctx context.Context) (driver.Conn, error) {
	select {
	case conn := <-c.first:
		return conn, nil
	default:
		return c.Connector.Connect(ctx)
	}
}
