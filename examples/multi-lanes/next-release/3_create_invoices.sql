-- +goose Up
CREATE TABLE invoices (
    id       INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id)
);

-- +goose Down
DROP TABLE invoices;
