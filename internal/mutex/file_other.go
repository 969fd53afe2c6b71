//go:build !unix

package mutex

import (
	"io/fs"
	"os"
)

const noFollow = 0

func own(*os.File, fs.FileInfo) error { return nil }
