package dbtest

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A program is how to run a server that is installed on this machine.
type program struct {
	binary string
	dirs   []string // patterns of directories to look in before PATH
	needs  []string // other binaries, in the same directory
	users  []string // whom root runs it as, the first that exists

	// files are written to the working directory before the installation.
	files func(password string) map[string]string
	// install and serve are shell commands, run in the working directory, with BIN (the directory of the binary) and
	// PORT in the environment. serve must exec the server.
	install, serve string
	// stop names the signal that ends the server at once.
	stop string

	// own is a shell command that makes the installation ready for [OwnServer]. durable are more arguments of serve: what
	// was committed outlives SIGKILL, which leaves alone what the kernel keeps of the files. anywhere has the server
	// listen on all addresses of the machine. shutDown is the signal for an orderly end that doesn't wait for clients.
	own, durable, anywhere string
	shutDown               os.Signal
}

//go:embed watchdog.sh
var watchdogScript string

// startLocal installs a server in a temporary directory and starts it under a watchdog. The error is errAbsent if the
// machine has no such server.
func startLocal(ctx context.Context, e *engine, port func() (int, error)) (Server, error) {
	bin, err := e.local.locate()
	if err != nil {
		return Server{}, err
	}
	// A port found free may be taken before the server listens on it, by another test process for example.
	const attempts = 5
	for range attempts {
		var server Server
		server, _, err = e.startOn(ctx, bin, port)
		if !errors.Is(err, errPortTaken) {
			return server, err
		}
	}
	return Server{}, err
}

var errPortTaken = errors.New("the port was taken by another process")

func (e *engine) startOn(ctx context.Context, bin string, port func() (int, error)) (Server, *watched, error) {
	number, err := port()
	if err != nil {
		return Server{}, nil, fmt.Errorf("find a free port: %w", err)
	}
	password := randomText(20)
	w, err := e.local.watch(bin, number, password)
	if err != nil {
		return Server{}, nil, fmt.Errorf("start %s: %w", bin, err)
	}
	// No other process that may have taken the port knows the password, so an answer is from the right server.
	ep := e.address(fmt.Sprintf("127.0.0.1:%d", number), password)
	if err := e.await(ctx, ep, w.exited); err != nil {
		err = hide(fmt.Errorf("start %s: %w", bin, err), password)
		if strings.Contains(w.log(), "Address already in use") {
			err = errPortTaken
		}
		return Server{}, nil, errors.Join(err, w.stop())
	}
	return Server{engine: e, endpoint: ep, from: "local " + bin, stop: w.stop}, w, nil
}

// locate returns the path of the server's binary, the newest if there are several.
func (p *program) locate() (string, error) {
	if runtime.GOOS == "windows" {
		return "", absent{fmt.Errorf("%s can't be started on this system", p.binary)}
	}
	var found []string
	for _, pattern := range p.dirs {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.SortFunc(dirs, func(a, b string) int {
			prefix := strings.IndexByte(pattern, '*')
			return versionOf(b[prefix:]) - versionOf(a[prefix:])
		})
		found = append(found, dirs...)
	}
	found = append(found, filepath.SplitList(os.Getenv("PATH"))...)
	for _, dir := range found {
		complete := !slices.ContainsFunc(append([]string{p.binary}, p.needs...), func(name string) bool {
			path, err := exec.LookPath(filepath.Join(dir, name))
			return err != nil || !filepath.IsAbs(path)
		})
		if complete {
			return filepath.Join(dir, p.binary), nil
		}
	}
	return "", absent{fmt.Errorf("no program %s in PATH or in %s", p.binary, strings.Join(p.dirs, ", "))}
}

// versionOf returns the first number in the text, so that 15 is newer than 9.6.
func versionOf(text string) int {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	n, _ := strconv.Atoi(append(strings.FieldsFunc(text, notDigit), "0")[0])
	return n
}

// A watched server ends when its pipe is closed, by stop or by the end of this process.
type watched struct {
	cmd  *exec.Cmd
	dir  string
	pipe *os.File
}

// watch starts the watchdog, which installs the server and runs it.
func (p *program) watch(bin string, port int, password string) (*watched, error) {
	dir, err := os.MkdirTemp(tempRoot(), "gooseplus-"+p.binary+"-")
	if err != nil {
		return nil, err
	}
	w, err := p.watchIn(dir, bin, port, password)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return w, nil
}

func (p *program) watchIn(dir, bin string, port int, password string) (*watched, error) {
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "watchdog", p.stop, p.install, p.serve)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PWD="+dir, fmt.Sprintf("PORT=%d", port), "BIN="+filepath.Dir(bin))
	newSession(cmd)
	own, err := dropRoot(cmd, p.users)
	if err != nil {
		return nil, err
	}
	for name, text := range p.files(password) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), own(path)); err != nil {
			return nil, err
		}
	}
	if err := own(dir); err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	// Standard output stays /dev/null: `go test` waits until nobody holds its own any more.
	cmd.Stdin = read
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return &watched{cmd: cmd, dir: dir, pipe: write}, nil
}

// stop ends the server and waits until its directory is gone.
func (w *watched) stop() error {
	closed := w.pipe.Close()
	// The watchdog's status says nothing more than the directory does.
	_ = w.cmd.Wait()
	if _, err := os.Stat(w.dir); err == nil {
		return fmt.Errorf("%s could not be removed", w.dir)
	}
	return closed
}

// exited returns an error with the end of the log if the server has ended.
func (w *watched) exited() error {
	if !w.has("exited") && !w.has("down") {
		return nil
	}
	const tail = 2000
	text := w.log()
	return fmt.Errorf("it ended by itself; its last words: %s", text[max(0, len(text)-tail):])
}

func (w *watched) has(file string) bool {
	_, err := os.Stat(filepath.Join(w.dir, file))
	return err == nil
}

func (w *watched) log() string {
	text, err := os.ReadFile(filepath.Join(w.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// tempRoot is the directory for temporary files: the one that TMPDIR names, else one in memory, where PostgreSQL creates a
// database ten times as fast as on a disk (measured: 30 ms and 300 ms), else the system's. It is /tmp if that one is
// closed to the user that the servers run as, or too deep for the name of a socket.
func tempRoot() string {
	root := os.TempDir()
	if os.Getenv("TMPDIR") == "" {
		root = cmp.Or(memoryDir(), root)
	}
	if len(root) > 60 {
		return "/tmp"
	}
	for dir := root; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&0o001 == 0 && os.Geteuid() == 0 {
			return "/tmp"
		}
		if dir == filepath.Dir(dir) {
			return root
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
