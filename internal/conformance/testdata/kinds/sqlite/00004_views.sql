-- +goose Up
CREATE VIEW people AS SELECT * FROM person;
CREATE VIEW some AS SELECT name FROM people WHERE id < 10;
CREATE VIRTUAL TABLE words USING fts5(text);

-- +goose Down
DROP TABLE words;
DROP VIEW some;
DROP VIEW people;
