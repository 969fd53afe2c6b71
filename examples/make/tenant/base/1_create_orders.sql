-- +goose Up
CREATE TABLE orders (id INTEGER PRIMARY KEY);

-- +goose Down
DROP TABLE orders;
