// Package lazy compiles regular expressions when they are first used. To compile all those of this module takes milliseconds. Every
// program that imports it would wait for that at its start, even one that only prints its help.
package lazy

import (
	"regexp"
	"sync"
)

// Regexp returns a function that compiles expr at its first call. It panics then if expr is wrong.
func Regexp(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
