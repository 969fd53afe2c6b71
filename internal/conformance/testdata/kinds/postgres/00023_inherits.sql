-- +goose Up
CREATE TABLE child (more text) INHERITS (unit);
CREATE TABLE same (LIKE person INCLUDING ALL);
CREATE UNLOGGED TABLE cache (k text COLLATE "C" PRIMARY KEY, v bytea) WITH (fillfactor = 70);
INSERT INTO cache VALUES ('x', '\x00ff'::bytea), (E'tab\there', 'y');
ALTER TABLE cache SET (autovacuum_enabled = false);
ALTER TABLE cache REPLICA IDENTITY FULL;

-- +goose Down
DROP TABLE cache;
DROP TABLE same;
DROP TABLE child;
