-- +goose Up
ALTER TABLE orders ADD COLUMN carrier VARCHAR(32);

-- +goose Down
ALTER TABLE orders DROP COLUMN carrier;
