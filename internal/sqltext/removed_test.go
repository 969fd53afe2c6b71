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
		"DROP /* it is\nold */ TABLE a; ALTER TABLE b -- why\n DROP COLUMN primary, DROP primary": "[{ a } { b primary}]",
	} {
		if got := fmt.Sprint(Removals(text)); got != want {
			t.Errorf("%s\n  %s, want\n  %s", text, got, want)
		}
	}
}

func TestRenamedAndMade(t *testing.T) {
	for text, want := range map[string]string{
		"ALTER TABLE a RENAME TO b;":                                                                           "[{ a }] [{ b }]",
		"ALTER /* why */ TABLE IF EXISTS x.a RENAME AS \"B\"":                                                  "[{ x.a }] [{ \"B\" }]",
		"ALTER TABLE a RENAME COLUMN b TO c; ALTER TABLE d RENAME e TO f":                                      "[{ a b} { d e}] [{ a c} { d f}]",
		"ALTER TABLE a RENAME INDEX i TO j, RENAME KEY k TO l":                                                 "[] []",
		"ALTER TABLE a RENAME CONSTRAINT c TO d":                                                               "[] []",
		"ALTER TABLE a RENAME COLUMN to_be TO b":                                                               "[{ a to_be}] [{ a b}]",
		"ALTER TABLE a CHANGE COLUMN b c INT, CHANGE d e TEXT":                                                 "[{ a b} { a d}] [{ a c} { a e}]",
		"RENAME TABLE a TO b, x.c TO `x`.`d`;":                                                                 "[{ a } { x.c }] [{ b } { `x`.`d` }]",
		"CREATE TABLE a (id INT); CREATE OR REPLACE TABLE b (id INT); create table if not exists c.d (id INT)": "[] [{ a } { b } { c.d }]",
		"ALTER TABLE a ADD COLUMN IF NOT EXISTS b INT, ADD c INT":                                              "[] [{ a b} { a c}]",
		"CREATE /* a */ TABLE -- b\n d (id INT)":                                                               "[] [{ d }]",
		"CREATE VIEW v AS SELECT 1":                                                                            "[] []",
	} {
		if got := fmt.Sprint(Renamed(text), " ", Made(text)); got != want {
			t.Errorf("%s\n  %s, want\n  %s", text, got, want)
		}
	}
}

func TestMayKeep(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE TABLE a (id INT)":                            false,
		"CREATE TABLE IF NOT EXISTS a (id INT)":              true,
		"CREATE TABLE a (b INT CHECK (EXISTS (VALUES (1))))": false,
		"CREATE TABLE if_exists_not (id INT)":                false,
		"DO $$ BEGIN CREATE TABLE a (id INT); END $$":        true,
		"CALL make_a()": true,
	} {
		if got := MayKeep(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
