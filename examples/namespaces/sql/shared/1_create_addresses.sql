-- +goose Up
CREATE TABLE addresses (
    id   INTEGER PRIMARY KEY,
    city TEXT NOT NULL
);

-- +goose Down
DROP TABLE addresses;
