-- +goose Up
CREATE TABLE orders (
    id    INTEGER PRIMARY KEY,
    cents INTEGER NOT NULL
);

-- +goose Down
DROP TABLE orders;
