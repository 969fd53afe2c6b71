-- +goose Up
CREATE VIEW people AS SELECT * FROM person;
CREATE VIEW some AS SELECT name FROM people WHERE id < 10;
CREATE VIEW none AS SELECT 1 AS one WHERE 0;

-- +goose Down
DROP VIEW none;
DROP VIEW some;
DROP VIEW people;
