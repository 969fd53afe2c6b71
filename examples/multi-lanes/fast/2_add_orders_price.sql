-- +goose Up
ALTER TABLE orders ADD COLUMN price TEXT; -- for new rows the application sets it, for the others the slow lane

-- +goose Down
ALTER TABLE orders DROP COLUMN price;
