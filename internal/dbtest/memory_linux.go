package dbtest

import "syscall"

// memoryDir returns a directory in memory that has room for the servers of several test processes, or "". A container's
// usually has not.
func memoryDir() string {
	const (
		dir   = "/dev/shm"
		tmpfs = 0x01021994
		room  = 2 << 30
	)
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || int64(fs.Type) != tmpfs || int64(fs.Bavail)*int64(fs.Bsize) < room {
		return ""
	}
	return dir
}
