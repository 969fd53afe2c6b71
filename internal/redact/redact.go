// Package redact removes passwords from texts that drivers produced. Some drivers quote the DSN
// they could not parse, password included.
package redact

import "regexp"

var secrets = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	// scheme://user:password@host; a password may hold an unescaped @, the last one before a
	// slash, a quote or a space ends it.
	{regexp.MustCompile(`(://[^:/@\s"']*):[^\s"'/]*@`), `$1:xxxxx@`},
	// go-sql-driver: user:password@tcp(host)/db
	{regexp.MustCompile(`([^\s:/"'` + "`" + `]+):[^\s"']*@(tcp|unix|cloudsql)?\(`), `$1:xxxxx@$2(`},
	// keyword=value, libpq's and ADO's
	{regexp.MustCompile(`(?i)\b(password|passwd|pwd)(\s*=\s*)('(?:[^'\\]|\\.|'')*'|[^\s;&'"]+)`), `$1${2}xxxxx`},
}

// Text returns s with every password that it recognises replaced by xxxxx.
func Text(s string) string {
	for _, secret := range secrets {
		s = secret.pattern.ReplaceAllString(s, secret.replacement)
	}
	return s
}
