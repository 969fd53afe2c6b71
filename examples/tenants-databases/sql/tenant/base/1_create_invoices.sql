-- +goose Up
CREATE TABLE invoices (
    id     INTEGER PRIMARY KEY,
    amount INTEGER NOT NULL
);

-- +goose Down
DROP TABLE invoices;
