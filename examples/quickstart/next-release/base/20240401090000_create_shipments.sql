-- +goose Up
CREATE TABLE shipments (
    id         BIGINT    NOT NULL PRIMARY KEY,
    order_id   BIGINT    NOT NULL,
    shipped_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT shipments_order FOREIGN KEY (order_id) REFERENCES orders (id)
);

-- +goose Down
DROP TABLE IF EXISTS shipments;
