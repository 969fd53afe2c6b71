package conformance

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// machine is one that is joined to the server by a network, which can be cut. A cut sends no end of a connection.
type machine interface {
	// address is the server's as it is seen from the machine.
	address(server string) string
	// command is one for the machine.
	command(args ...string) []string
	cut(t *testing.T)
	heal(t *testing.T)
}

// dsnAt is the place's database as it is reached at another address of the server. It is called with the server's own.
func dsnAt(t *testing.T, p *place, address func(server string) string) string {
	t.Helper()
	if p.dialect == "mysql" {
		cfg, err := mysql.ParseDSN(p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Addr = address(cfg.Addr)
		return cfg.FormatDSN()
	}
	u, err := url.Parse(p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address(u.Host)
	return u.String()
}

// proxied is joined by a proxy. When that is cut, it answers both sides as a kernel does, and passes nothing on, neither
// bytes nor an end: no side can find out by its kernel's questions.
type proxied struct {
	t  *testing.T
	mu sync.Mutex
	// open is closed while bytes are passed on. Guarded by mu.
	open chan struct{}
	ends []net.Conn // guarded by mu; nil when the test has ended
	over bool       // guarded by mu
	all  sync.WaitGroup
	l    net.Listener
}

func newProxied(t *testing.T) machine {
	p := &proxied{t: t, open: make(chan struct{})}
	close(p.open)
	return p
}

// address starts the proxy.
func (p *proxied) address(server string) string {
	if p.l != nil {
		return p.l.Addr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.l = l
	p.all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.join(client, server) })
		}
	})
	p.t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.over = true
		for _, c := range p.ends {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.heal(p.t)
		p.all.Wait()
	})
	return l.Addr().String()
}

func (p *proxied) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ends = append(p.ends, c); p.over {
		_ = c.Close()
	}
}

func (p *proxied) join(client net.Conn, server string) {
	p.keep(client)
	p.passing()
	up, err := net.Dial("tcp", server)
	if err != nil {
		_ = client.Close()
		return
	}
	p.keep(up)
	p.all.Go(func() { p.forward(up, client) })
	p.forward(client, up)
}

// passing returns as soon as bytes are passed on.
func (p *proxied) passing() {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	<-open
}

func (p *proxied) forward(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.passing()
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

func (p *proxied) command(args ...string) []string { return args }

func (p *proxied) cut(*testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

func (p *proxied) heal(*testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// dropped is a network namespace behind another one, the router. When that forwards nothing, packets are dropped both
// ways.
type dropped struct {
	name, router string
	host         netip.Addr // this machine's
}

// dropsPackets says whether there can be such machines here.
var dropsPackets = sync.OnceValue(func() bool {
	if os.Geteuid() != 0 {
		return false
	}
	name := "gp" + randomHex()
	if exec.Command("ip", "netns", "add", name).Run() != nil {
		return false
	}
	return exec.Command("ip", "netns", "del", name).Run() == nil
})

func randomHex() string {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

func newDropped(t *testing.T) machine {
	t.Helper()
	name := "gp" + randomHex()
	// Eight addresses of those for carriers' networks (RFC 6598).
	b := make([]byte, 4)
	_, _ = rand.Read(b)
	base := 100<<24 | 64<<16 | binary.BigEndian.Uint32(b)&(1<<22-1)&^7
	addr := func(n uint32) netip.Addr {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, base+n)))
	}
	m := &dropped{name: name, router: name + "r", host: addr(1)}
	t.Cleanup(func() {
		for _, ns := range []string{m.name, m.router} {
			if text, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
				t.Errorf("ip netns del %s: %v: %s", ns, err, text)
			}
		}
	})
	for _, args := range [][]string{
		{"netns", "add", m.name},
		{"netns", "add", m.router},
		{"link", "add", name + "h", "type", "veth", "peer", "name", "r0", "netns", m.router},
		{"-n", m.router, "link", "add", "r1", "type", "veth", "peer", "name", "e0", "netns", m.name},
		{"addr", "add", addr(1).String() + "/30", "dev", name + "h"},
		{"link", "set", name + "h", "up"},
		{"-n", m.router, "addr", "add", addr(2).String() + "/30", "dev", "r0"},
		{"-n", m.router, "link", "set", "r0", "up"},
		{"-n", m.router, "addr", "add", addr(5).String() + "/30", "dev", "r1"},
		{"-n", m.router, "link", "set", "r1", "up"},
		{"-n", m.name, "addr", "add", addr(6).String() + "/30", "dev", "e0"},
		{"-n", m.name, "link", "set", "e0", "up"},
		{"-n", m.name, "link", "set", "lo", "up"},
		{"-n", m.name, "route", "add", "default", "via", addr(5).String()},
		{"route", "add", addr(4).String() + "/30", "via", addr(2).String()},
	} {
		m.ip(t, args...)
	}
	m.heal(t)
	return m
}

func (m *dropped) ip(t *testing.T, args ...string) {
	t.Helper()
	if text, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, text)
	}
}

func (m *dropped) address(server string) string {
	_, port, _ := net.SplitHostPort(server)
	return net.JoinHostPort(m.host.String(), port)
}

func (m *dropped) command(args ...string) []string {
	return append([]string{"ip", "netns", "exec", m.name}, args...)
}

func (m *dropped) cut(t *testing.T)  { m.forwards(t, 0) }
func (m *dropped) heal(t *testing.T) { m.forwards(t, 1) }

func (m *dropped) forwards(t *testing.T, yes int) {
	t.Helper()
	m.ip(t, "netns", "exec", m.router, "sh", "-c", fmt.Sprintf("echo %d >/proc/sys/net/ipv4/ip_forward", yes))
}
