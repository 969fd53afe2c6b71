package fleet

import (
	"fmt"
	"regexp"
)

// secret says whether a name holds a DSN with a password.
func secret(name string) bool { return clean(name) != name }

var (
	userinfo = regexp.MustCompile(`(://)[^\s/@]*:[^\s/]*@`)
	mysqlDSN = regexp.MustCompile(`[^\s:@/"']+:[^\s@/"']+@(tcp|unix|tcp6|udp)?\(`)
	password = regexp.MustCompile(`(?i)\b(password|passwd|pwd)(\s*[=:]\s*)('(?:[^'\\]|\\.)*'|[^\s&;,]+)`)
)

// clean takes passwords and DSNs out of a text that a driver, or a function of the application, made.
func clean(text string) string {
	text = userinfo.ReplaceAllString(text, "${1}xxxxx@")
	text = mysqlDSN.ReplaceAllString(text, "xxxxx@${1}(")
	return password.ReplaceAllString(text, "${1}${2}xxxxx")
}

// cleaned is an error whose text is clean.
type cleaned struct{ err error }

func (e cleaned) Error() string { return clean(e.err.Error()) }
func (e cleaned) Unwrap() error { return e.err }

// wrap says whose error it is. A function of the application may have put a DSN into it.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("fleet: %w", cleaned{err})
}
