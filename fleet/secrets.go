package fleet

import "regexp"

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
