-- +goose Up
CREATE TABLE invoices (id INTEGER PRIMARY KEY, product INTEGER NOT NULL REFERENCES products (id));

-- +goose Down
DROP TABLE invoices;
