-- One statement a file for ALTER TABLE: MariaDB and MySQL commit each by itself, so that a file
-- with one of them is applied as a whole or not at all there too.

-- +goose Up
ALTER TABLE orders ADD COLUMN status VARCHAR(16) DEFAULT 'new' NOT NULL;

-- +goose Down
ALTER TABLE orders DROP COLUMN status;
