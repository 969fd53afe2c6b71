package sqltext

import (
	"fmt"
	"testing"
)

func TestRemovals(t *testing.T) {
	for text, want := range map[string]string{
		"DROP TABLE a;": "[{false a }]",
		"drop table if exists a, billing.b, \"c \"\"d\" CASCADE;\nDROP INDEX i;": `[{false a } {false billing.b } {false "c ""d" }]`,
		"DROP SCHEMA IF EXISTS billing CASCADE":                                  "[{true billing }]",
		"DROP DATABASE `x`":                                                      "[{true `x` }]",
		"ALTER TABLE ONLY a DROP COLUMN IF EXISTS b, DROP c, DROP CONSTRAINT d, ALTER COLUMN e DROP DEFAULT, ALTER f DROP NOT NULL": "[{false a b} {false a c}]",
		"ALTER TABLE a DROP COLUMN `index`;\nALTER TABLE b DROP INDEX i, DROP PRIMARY KEY, DROP FOREIGN KEY f;":                     "[{false a `index`}]",
		"ALTER TABLE a ADD COLUMN b INT; DROP VIEW v; DELETE FROM a;":                                                               "[]",
		"INSERT INTO raindrop VALUES (1)": "[]",
	} {
		if got := fmt.Sprint(Removals(text)); got != want {
			t.Errorf("%s\n  %s, want\n  %s", text, got, want)
		}
	}
}
