-- +goose Up
CREATE TABLE person (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL DEFAULT 'it''s; so', upper_name TEXT GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE "Order" (id INTEGER PRIMARY KEY, person_id INTEGER REFERENCES person (id) ON DELETE SET NULL, CHECK (id > 0));
CREATE UNIQUE INDEX person_name ON person (name COLLATE NOCASE) WHERE name <> '';

-- +goose Down
DROP TABLE "Order";
DROP TABLE person;
