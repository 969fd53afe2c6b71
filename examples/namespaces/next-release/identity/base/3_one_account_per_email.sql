-- +goose Up
CREATE UNIQUE INDEX accounts_email ON accounts (email);
-- +gooseplus allow-lock a shop has a few thousand accounts, so the index is built in milliseconds

-- +goose Down
DROP INDEX accounts_email;
