package gooseplus_test

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy forwards connections to a server, until it is told to cut some of them: these stay open, and nothing arrives any
// more, as when a cable is pulled.
type proxy struct {
	listener net.Listener
	server   string
	done     chan struct{} // closed by end
	ended    sync.Once
	all      sync.WaitGroup

	// deaf drops PostgreSQL's cancel requests: each of them is a connection of its own.
	deaf atomic.Bool

	mu    sync.Mutex
	links []*link // guarded by mu
}

// link is one connection with its two ends.
type link struct {
	client, server net.Conn
	cut            chan struct{}
	once           sync.Once
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server, done: make(chan struct{})}
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
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
		l := &link{client: client, server: server, cut: make(chan struct{})}
		p.mu.Lock()
		p.links = append(p.links, l)
		p.mu.Unlock()
		p.all.Go(func() { p.forward(l, server, client) })
		p.all.Go(func() { p.forward(l, client, server) })
	}
}

// forward copies until one end is closed, which closes the other, or the link is cut: then it keeps both open, and
// holds back what it has read.
func (p *proxy) forward(l *link, to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-l.cut:
			<-p.done
		default:
		}
		if p.deaf.Load() && n == cancelSize && binary.BigEndian.Uint32(buffer[4:]) == cancelCode {
			break
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = l.client.Close()
	_ = l.server.Close()
}

// The length of a cancel request, and the code in it.
const (
	cancelSize = 16
	cancelCode = 80877102
)

// cut cuts the connection that the server sees as coming from the port, or all that there are at the moment.
func (p *proxy) cut(port int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		if port == everyPort || l.server.LocalAddr().(*net.TCPAddr).Port == port {
			l.once.Do(func() { close(l.cut) })
			n++
		}
	}
	return n
}

const everyPort = 0

// end closes all connections, as the operating systems of both sides do when they have noticed.
func (p *proxy) end() {
	p.ended.Do(func() { close(p.done) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		_ = l.client.Close()
		_ = l.server.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.end()
	p.all.Wait()
}
