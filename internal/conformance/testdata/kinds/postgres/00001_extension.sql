-- +goose Up
CREATE EXTENSION IF NOT EXISTS plpgsql;

-- +goose Down
SELECT 1;
