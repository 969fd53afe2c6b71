//go:build unix

package dbtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// newSession keeps an interrupt typed in the terminal, which is for the test process, away from the command.
func newSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// dropRoot has the command run as the first of the users that exists, if this process is root's. The function that it
// returns hands a file to that user. Call it after newSession.
func dropRoot(cmd *exec.Cmd, users []string) (own func(path string) error, err error) {
	if os.Geteuid() != 0 {
		return func(string) error { return nil }, nil
	}
	for _, name := range users {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, err
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return func(path string) error { return os.Chown(path, int(uid), int(gid)) }, nil
	}
	return nil, fmt.Errorf("root can't run it, and there is no user %s", strings.Join(users, " or "))
}
