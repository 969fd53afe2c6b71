-- This fails: two customers of the test environment share an address.

-- +goose Up
CREATE UNIQUE INDEX customers_email ON customers (email);
-- +gooseplus allow-lock a shop has a few thousand accounts, so the index is built in milliseconds

-- +goose Down
DROP INDEX IF EXISTS customers_email;
