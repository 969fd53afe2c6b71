package dbtest

import (
	"encoding/binary"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// Proxy forwards connections to a server until it is told to go silent: the connections stay open, and nothing
// arrives any more on either side, as when a cable is pulled.
type Proxy struct {
	listener net.Listener
	server   string
	silenced chan struct{} // closed by Silence
	done     chan struct{} // closed by End
	silence  sync.Once
	end      sync.Once
	all      sync.WaitGroup
	deaf     atomic.Bool
	left     atomic.Int64 // how much of what clients send is forwarded before Silence; -1: all

	mu    sync.Mutex
	links []*proxied // guarded by mu
}

// proxied is one connection with its two ends.
type proxied struct {
	client, server net.Conn
	cut            chan struct{}
	once           sync.Once
}

// NewProxy starts a proxy in front of a server, which ends with the test.
func NewProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, server: server, silenced: make(chan struct{}), done: make(chan struct{})}
	p.left.Store(-1)
	p.all.Go(p.accept)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.End()
		p.all.Wait()
	})
	return p
}

// Through starts a proxy in front of the server that a DSN names (a URL, or as go-sql-driver/mysql writes it), and
// returns the DSN of the same database by way of it.
func Through(t testing.TB, dsn string) (*Proxy, string) {
	t.Helper()
	if strings.Contains(dsn, "://") {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		p := NewProxy(t, u.Host)
		u.Host = p.address()
		return p, u.String()
	}
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := NewProxy(t, cfg.Addr)
	cfg.Addr = p.address()
	return p, cfg.FormatDSN()
}

func (p *Proxy) address() string { return p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &proxied{client: client, server: server, cut: make(chan struct{})}
		p.mu.Lock()
		p.links = append(p.links, l)
		p.mu.Unlock()
		select {
		case <-p.done: // End may have missed it
			l.close()
		default:
		}
		p.all.Go(func() { p.forward(l, server, client) })
		p.all.Go(func() { p.forward(l, client, server) })
	}
}

// forward copies until one end is closed, which closes the other, or the link is cut: then it keeps both open, and
// holds back what it has read.
func (p *Proxy) forward(l *proxied, to, from net.Conn) {
	defer l.close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && from == l.client && p.left.Load() >= 0 && p.left.Add(-1) < 0 {
			p.Silence()
		}
		select {
		case <-l.cut:
			<-p.done
		case <-p.silenced:
			<-p.done
		default:
		}
		if p.deaf.Load() && n == cancelSize && binary.BigEndian.Uint32(buffer[4:]) == cancelCode {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// The length of PostgreSQL's cancel request, which is a connection of its own, and the code in it.
const (
	cancelSize = 16
	cancelCode = 80877102
)

func (l *proxied) close() { _, _ = l.client.Close(), l.server.Close() }

// IgnoreCancels drops PostgreSQL's cancel requests from now on.
func (p *Proxy) IgnoreCancels() { p.deaf.Store(true) }

// Cut silences the connections that there are, and returns how many that were. The next ones are forwarded.
func (p *Proxy) Cut() int { return p.cut(func(*proxied) bool { return true }) }

// CutPort is Cut of the connection that the server sees as coming from a port.
func (p *Proxy) CutPort(port int) int {
	return p.cut(func(l *proxied) bool { return l.server.LocalAddr().(*net.TCPAddr).Port == port })
}

func (p *Proxy) cut(which func(*proxied) bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		if which(l) {
			l.once.Do(func() { close(l.cut) })
			n++
		}
	}
	return n
}

// Silence silences all connections. New ones are accepted, and nothing arrives on them either.
func (p *Proxy) Silence() { p.silence.Do(func() { close(p.silenced) }) }

// SilenceAfter is Silence after n more times that a client has sent something, which is forwarded.
func (p *Proxy) SilenceAfter(n int) { p.left.Store(int64(n)) }

// Silenced is closed when it has come to Silence.
func (p *Proxy) Silenced() <-chan struct{} { return p.silenced }

// End closes all connections, as the operating systems of both sides do when they have noticed.
func (p *Proxy) End() {
	p.end.Do(func() { close(p.done) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		l.close()
	}
}
