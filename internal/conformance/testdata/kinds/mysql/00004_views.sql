-- +goose Up
CREATE VIEW people AS SELECT id, name, mood FROM person;
CREATE VIEW happy AS SELECT * FROM people WHERE mood = 'happy' WITH CHECK OPTION;

-- +goose Down
DROP VIEW happy;
DROP VIEW people;
