package gooseplustest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// pgCopy is a database that is a copy of a template.
type pgCopy struct {
	name, template string
	conn           driver.Conn // to it; nil if there is none yet
}

// pgSpare is a copy that is made while a test works with another one. It becomes the database of a test with the name that
// it has, and with its connection: to give it the name of the test takes ten times as long as everything else, and nobody
// may be connected meanwhile.
type pgSpare struct {
	pgCopy                    // conn is read after made
	environment string        // what conn depends on besides the DSN
	made        chan struct{} // closed when there is a database or an error
	err         error         // read after made
}

// spareLimit is how many sets of migrations have a copy in advance, on one server: those that were used last.
const spareLimit = 4

// prepare has a copy made for the next test, unless there is one. A set that only one test uses needs none.
func (s *pgServer) prepare(set *set, t *pgTemplate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.uses++; t.uses == 1 || t.spare != nil || t.name == "" {
		return
	}
	spare := &pgSpare{
		pgCopy:      pgCopy{name: ownName(set.project, kindClone), template: t.name},
		environment: libpqEnvironment(), made: make(chan struct{}),
	}
	settings := t.settings
	begun := spares.begin(func() {
		ctx := context.Background()
		if spare.err = s.create(ctx, spare.name, spare.template, settings); spare.err == nil {
			spare.conn = s.tryConnect(ctx, spare.name)
		}
		close(spare.made)
		// Not before: a test may wait for that, and nobody waits for this.
		if old := s.tooMany(t); old != nil {
			spares.failed(s.dropSpare(ctx, old))
		}
		spares.failed(s.dropUsed(ctx, usedBatch))
	})
	if begun {
		t.spare = spare
	}
}

// tooMany notes that a template has a copy, and takes that of the one that was used longest ago, if there are too many.
func (s *pgServer) tooMany(latest *pgTemplate) *pgSpare {
	s.mu.Lock()
	s.spared = append(slices.DeleteFunc(s.spared, func(t *pgTemplate) bool { return t == latest }), latest)
	var oldest *pgTemplate
	if len(s.spared) > spareLimit {
		oldest, s.spared = s.spared[0], slices.Clone(s.spared[1:])
	}
	s.mu.Unlock()
	if oldest == nil {
		return nil
	}
	return oldest.takeSpare()
}

// libpqEnvironment are the variables that a driver reads when it connects. A test may set them.
func libpqEnvironment() string {
	var list []string
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "PG") {
			list = append(list, v)
		}
	}
	return strings.Join(list, "\x00")
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
// if that fails too. The wait is not longer than adminLimit, and shorter than for a copy that begins now.
func (s *pgServer) adopt(ctx context.Context, spare *pgSpare) bool {
	<-spare.made
	if spare.conn != nil && spare.environment != libpqEnvironment() {
		spare.disconnect()
	}
	if spare.err == nil && spare.conn == nil {
		return true
	}
	if spare.err == nil {
		if pinger, ok := spare.conn.(driver.Pinger); !ok || pinger.Ping(ctx) == nil {
			return true
		}
	}
	// Somebody has dropped it already, or the connection is cut, or nobody knows whether there is a database.
	spares.failed(s.dropSpare(context.WithoutCancel(ctx), spare))
	return false
}

// idle closes the connection of a database that no test has taken, if there is one already.
func (spare *pgSpare) idle() {
	if spare == nil {
		return
	}
	select {
	case <-spare.made:
		spare.disconnect()
	default:
	}
}

// disconnectSpares closes the connections of databases that no test has taken.
func (s *pgServer) disconnectSpares() {
	s.mu.Lock()
	templates := slices.Collect(maps.Values(s.templates))
	s.mu.Unlock()
	for _, t := range templates {
		if t.mu.TryLock() { // or somebody takes it, or makes it
			t.spare.idle()
			t.mu.Unlock()
		}
	}
}

func (spare *pgSpare) disconnect() {
	if spare.conn != nil {
		_ = spare.conn.Close()
		spare.conn = nil
	}
}

func (s *pgServer) dropSpare(ctx context.Context, spare *pgSpare) error {
	<-spare.made
	spare.disconnect()
	return s.drop(ctx, spare.name)
}

// pgUsed is the database of a test that has passed.
type pgUsed struct{ name, test string }

// usedBatch is how many databases of tests that are over are dropped together; at most twice as many wait for that. Each
// DROP DATABASE has the server write to its disk what is new in all other databases, among them the one of the next
// test: that is cheap right after another one.
const usedBatch = 4

// putOff leaves the database of a test that is over to a goroutine that makes another one, or to the end of Run. It is
// false without Run, if enough databases wait, and if somebody outside the database would notice.
func (s *pgServer) putOff(ctx context.Context, c pgCopy, test string) bool {
	if !spares.are() {
		return false
	}
	tied := true
	_ = s.admin(ctx, func(ctx context.Context, conn *pgConn) (err error) { // drop will say what is wrong
		tied, err = conn.tied(ctx, c.name, c.template)
		return err
	})
	if tied {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.used) == 2*usedBatch {
		return false
	}
	s.used = append(s.used, pgUsed{c.name, test})
	return true
}

// dropUsed drops the databases of tests that are over, if there are so many. It ends at the first that the server can't be
// asked to drop.
func (s *pgServer) dropUsed(ctx context.Context, enough int) (err error) {
	s.mu.Lock()
	var list []pgUsed
	if len(s.used) >= enough {
		list, s.used = s.used, nil
	}
	s.mu.Unlock()
	for _, used := range list {
		dropErr := s.drop(ctx, used.name)
		if dropErr == nil {
			continue
		}
		err = errors.Join(err, fmt.Errorf("%s: %w", used.test, dropErr))
		if cut(dropErr) {
			break
		}
	}
	return err
}

// dropSpares removes what no test has taken, and what is left of those that are over, once no more are made.
func dropSpares() error {
	pgServers.Lock()
	servers := slices.Collect(maps.Values(pgServers.byDSN))
	pgServers.Unlock()
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.dropLeft())
	}
	return errors.Join(errs...)
}

// endLimit bounds what is done for one server after the tests, if it doesn't answer any more.
const endLimit = 30 * time.Second

func (s *pgServer) dropLeft() error {
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	err := s.dropUsed(ctx, 0)
	for _, spare := range s.takeSpares() {
		if err != nil && cut(err) {
			spare.disconnect()
			continue
		}
		err = errors.Join(err, s.dropSpare(ctx, spare))
	}
	return err
}

func (s *pgServer) takeSpares() (list []*pgSpare) {
	s.mu.Lock()
	templates := slices.Collect(maps.Values(s.templates))
	s.spared = nil
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

// Close is called by the pool when it is closed: the test may never have used it.
func (c connected) Close() error {
	select {
	case conn := <-c.first:
		return conn.Close()
	default:
		return nil
	}
}
