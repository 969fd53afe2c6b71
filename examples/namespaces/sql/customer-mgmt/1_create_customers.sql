-- +goose Up
CREATE TABLE customers (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    address_id INTEGER REFERENCES addresses (id),
    account_id INTEGER REFERENCES accounts (id)
);

-- +goose Down
DROP TABLE customers;
