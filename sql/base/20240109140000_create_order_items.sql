-- +goose Up
CREATE TABLE order_items (
    order_id    BIGINT       NOT NULL,
    line        INTEGER      NOT NULL,
    article     VARCHAR(100) NOT NULL,
    quantity    INTEGER      NOT NULL,
    price_cents BIGINT       NOT NULL,
    PRIMARY KEY (order_id, line),
    CONSTRAINT order_items_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT order_items_quantity CHECK (quantity > 0)
);

-- +goose Down
DROP TABLE IF EXISTS order_items;
