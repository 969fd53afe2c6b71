//go:build unix

package mutex

import (
	"io/fs"
	"os"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW

// own gives the file the owner of the database. Only root can do that.
func own(file *os.File, database fs.FileInfo) error {
	stat, ok := database.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return file.Chown(int(stat.Uid), int(stat.Gid))
}
