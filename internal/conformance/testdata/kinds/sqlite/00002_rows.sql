-- +goose Up
INSERT INTO person (name) VALUES ('Ada; L'), ('Bob');
UPDATE person SET name = 'Bobby' WHERE name = 'Bob';
DELETE FROM person WHERE id = 2;

-- +goose Down
DELETE FROM person;
