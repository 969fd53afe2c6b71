-- +goose Up
CREATE INDEX orders_id ON orders (id);
-- +goose Down
DROP INDEX orders_id;
