-- +goose Up
CREATE TABLE orders (
    id          BIGINT    NOT NULL PRIMARY KEY,
    customer_id BIGINT    NOT NULL,
    ordered_at  TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id)
);
CREATE INDEX orders_by_customer ON orders (customer_id, ordered_at);

-- +goose Down
DROP TABLE IF EXISTS orders;
