-- +goose Up
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL);

-- +goose Down
DROP TABLE products;
