-- +goose Up
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, r REAL, b BLOB, g TEXT GENERATED ALWAYS AS (name || '!') STORED);
INSERT INTO users (name, r, b) VALUES ('a''b', 0.1, x'00ff'), ('line
break; x', 1e300, NULL), ('gone', 0, NULL);
DELETE FROM users WHERE name = 'gone';
CREATE TABLE orders (id INTEGER PRIMARY KEY, u INTEGER REFERENCES users (id)) STRICT;
INSERT INTO orders VALUES (1, 1);
CREATE TABLE w (k TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO w VALUES ('x');
CREATE VIRTUAL TABLE ft USING fts5(body);
INSERT INTO ft (body) VALUES ('hello world');
CREATE VIRTUAL TABLE fx USING fts5(name, content='users', content_rowid='id');
INSERT INTO fx(fx) VALUES ('rebuild');
CREATE INDEX i ON users (lower(name));
CREATE VIEW v AS SELECT * FROM users;
-- +goose StatementBegin
CREATE TRIGGER tr AFTER INSERT ON users BEGIN INSERT INTO orders (u) VALUES (new.id); DELETE FROM w; END;
-- +goose StatementEnd
-- +goose Down
DROP TABLE users;
