package sqltext

import (
	"fmt"
	"testing"
)

func TestRemovals(t *testing.T) {
	for text, want := range map[string]string{
		"DROP TABLE a;": "[{ a }]",
		"drop table if exists a, billing.b, \"c \"\"d\" CASCADE;\nDROP INDEX i;": `[{ a } { billing.b } { "c ""d" }]`,
		"DROP SCHEMA IF EXISTS billing CASCADE":                                  "[{schema billing }]",
		"DROP DATABASE `x`":                                                      "[{schema `x` }]",
		"ALTER TABLE ONLY a DROP COLUMN IF EXISTS b, DROP c, DROP CONSTRAINT d, ALTER COLUMN e DROP DEFAULT, ALTER f DROP NOT NULL": "[{ a b} { a c}]",
		"ALTER TABLE a DROP COLUMN `index`;\nALTER TABLE b DROP INDEX i, DROP PRIMARY KEY, DROP FOREIGN KEY f;":                     "[{ a `index`}]",
		"ALTER TABLE a ADD COLUMN b INT; DROP VIEW v; DELETE FROM a;":                                                               "[]",
		"DROP EXTENSION IF EXISTS citext CASCADE; DROP TYPE mood, x.y; DROP DOMAIN d;":                                              "[{extension citext } {type mood } {type x.y } {type d }]",
		"INSERT INTO raindrop VALUES (1)": "[]",
	} {
		if got := fmt.Sprint(Removals(text)); got != want {
			t.Errorf("%s\n  %s, want\n  %s", text, got, want)
		}
	}
}
