-- +goose Up
CREATE TABLE customers (
    id         BIGINT       NOT NULL PRIMARY KEY,
    name       VARCHAR(100) NOT NULL,
    email      VARCHAR(255) NOT NULL,
    created_at TIMESTAMP    NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX customers_by_email ON customers (email);

-- +goose Down
DROP TABLE IF EXISTS customers;
