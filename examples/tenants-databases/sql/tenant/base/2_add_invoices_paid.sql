-- +goose Up
ALTER TABLE invoices ADD COLUMN paid BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE invoices DROP COLUMN paid;
