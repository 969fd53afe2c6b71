-- +goose Up
CREATE TABLE tenants (
    name   VARCHAR(100) PRIMARY KEY,
    dsn    VARCHAR(500) NOT NULL,
    active BOOLEAN NOT NULL
);

-- +goose Down
DROP TABLE tenants;
