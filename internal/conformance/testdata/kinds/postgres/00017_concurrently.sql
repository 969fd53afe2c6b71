-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS unit_lower ON unit (lower(name));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS unit_lower;
