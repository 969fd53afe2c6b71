-- +goose Up
ALTER TABLE pair ADD COLUMN note text;

-- +goose Down
ALTER TABLE pair DROP COLUMN note;
