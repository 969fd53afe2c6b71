-- +goose Up
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE place AS (street text, number int);
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');

-- +goose Down
DROP DOMAIN email;
DROP TYPE place;
DROP TYPE mood;
