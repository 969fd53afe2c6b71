-- +goose Up
ALTER TABLE contacts ADD COLUMN e164 VARCHAR(16);

-- +goose Down
ALTER TABLE contacts DROP COLUMN e164;
