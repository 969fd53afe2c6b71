-- +goose Up
CREATE TABLE accounts (
    id      INTEGER PRIMARY KEY,
    email   TEXT NOT NULL,
    unit_id INTEGER NOT NULL REFERENCES units (id)
);

-- +goose Down
DROP TABLE accounts;
