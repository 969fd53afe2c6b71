-- This fails: two customers of the test environment share an address.

-- +goose Up
CREATE UNIQUE INDEX customers_email ON customers (email);

-- +goose Down
DROP INDEX IF EXISTS customers_email;
