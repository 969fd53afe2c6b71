//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keep runs the server until its standard input ends, which happens when this process does, however it ends; then it
// stops the server at once and removes its directory.
const keep = `
(
	"$BIN/initdb" -D data -U gooseplus --auth=scram-sha-256 --pwfile=password --no-locale --encoding=UTF8 &&
	"$BIN/postgres" -D data -k "$PWD" -p "$PORT" -c listen_addresses=127.0.0.1
	: >ended
) >log 2>&1 </dev/null &
read -r _
while [ ! -f ended ]; do
	[ ! -f data/postmaster.pid ] || kill -QUIT "$(head -n 1 data/postmaster.pid)" 2>/dev/null
	sleep 0.1
done
cd / && rm -rf "$OLDPWD"
`

// startTimeout covers initdb, which syncs what it writes.
const startTimeout = 2 * time.Minute

// local is a server that this process started. It has the settings that initdb chose: the defaults, except for the data
// directory and the address. Root can't run PostgreSQL, so that root runs it as another user.
type local struct {
	dsn  string
	stop func()
}

func startServer(ctx context.Context) (*local, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gooseplus-bench-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(password+"\n"), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", keep)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PWD="+dir, "BIN="+bin, "PORT="+strconv.Itoa(port))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt is for this process, which then ends the server
	if err := dropRoot(cmd, dir, filepath.Join(dir, "password")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword("gooseplus", password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}
	l := &local{dsn: dsn.String(), stop: func() {
		_ = input.Close()
		_ = cmd.Wait()
	}}
	if err := l.await(ctx, filepath.Join(dir, "ended")); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		l.stop()
		return nil, fmt.Errorf("the PostgreSQL of %s did not start: %w; its log:\n%s", bin, err, log)
	}
	return l, nil
}

// await polls until the server answers, or has ended, which the file says.
func (l *local) await(ctx context.Context, ended string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, err := sql.Open("postgres", l.dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		if _, statErr := os.Stat(ended); statErr == nil {
			return errors.New("it ended by itself")
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// findPrograms returns the directory of the server's programs. Where there are several versions the newest counts.
func findPrograms() (string, error) {
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.SortFunc(found, func(a, b string) int { return majorVersion(b) - majorVersion(a) })
		dirs = append(dirs, found...)
	}
	for _, dir := range append(dirs, filepath.SplitList(os.Getenv("PATH"))...) {
		_, postgres := exec.LookPath(filepath.Join(dir, "postgres"))
		_, initdb := exec.LookPath(filepath.Join(dir, "initdb"))
		if postgres == nil && initdb == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("there is no PostgreSQL on this machine: install it, or name a server in %s", dsnEnv)
}

// majorVersion is the first number in the path, 0 if there is none.
func majorVersion(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[0])
	return n
}

// dropRoot has the command run as an unprivileged user, who gets the files, if this process is root's.
func dropRoot(cmd *exec.Cmd, files ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return err
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		for _, f := range files {
			if err := os.Chown(f, uid, gid); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("root can't run PostgreSQL, and there is no user postgres or nobody")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
