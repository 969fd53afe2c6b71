package redact

import (
	"strings"
	"testing"
)

// BenchmarkIn looks for passwords in SQL of five megabytes.
func BenchmarkIn(b *testing.B) {
	row := "(1234, 'some words of a text', '2024-01-02 03:04:05', NULL),\n"
	many := func(line string) string { return strings.Repeat(line, 5<<20/len(line)) }
	rows := many(row) + "(0, '', NULL, NULL);"
	for _, x := range []struct{ name, text string }{
		{"rows", "INSERT INTO app.things (id, name, at, x) VALUES\n" + rows},
		{"rows with a password", "INSERT INTO app.users (id, password, at, x) VALUES\n" + rows},
		{"rows with addresses", "INSERT INTO app.users (id, password, email) VALUES\n" + many("(1234, 'some words', 'somebody@example.com'),\n")},
		{"statements", many("INSERT INTO users (id, name, password) VALUES (1234, 'somebody', 's3cret');\n")},
		{"updates", many("UPDATE users SET password = 's3cret' WHERE email = 'somebody@example.com';\n")},
		{"users", many("CREATE USER somebody IDENTIFIED BY 's3cret';\n")},
		{"roles", many("CREATE ROLE somebody PASSWORD 's3cret';\n")},
		{"users in rows", "INSERT INTO x VALUES " + many("('CREATE USER somebody'),\n")},
		{"a user in a row", "INSERT INTO x VALUES ('how to create user accounts', 'x'),\n" + rows},
		{"tables", many("CREATE TABLE users (id INTEGER PRIMARY KEY, password TEXT NOT NULL DEFAULT '');\n")},
		{"JSON", many(`INSERT INTO x VALUES ('{"url": "https://example.com/a?b=c", "password": "s3cret"}');` + "\n")},
		{"one line", "UPDATE users SET password = x" + many("word ")},
	} {
		b.Run(x.name, func(b *testing.B) {
			b.SetBytes(int64(len(x.text)))
			for b.Loop() {
				In(x.text)
			}
		})
	}
}
