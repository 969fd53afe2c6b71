//go:build !unix

package dbtest

import (
	"errors"
	"os/exec"
)

func newSession(*exec.Cmd) {}

func dropRoot(*exec.Cmd, []string) (own func(path string) error, err error) {
	return nil, errors.ErrUnsupported
}
