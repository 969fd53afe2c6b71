-- +goose Up
ALTER TABLE units ADD COLUMN parent_id INTEGER REFERENCES units (id);

-- +goose Down
ALTER TABLE units DROP COLUMN parent_id;
