-- +goose Up
CREATE TABLE tenants (name TEXT PRIMARY KEY, dsn TEXT NOT NULL);
INSERT INTO tenants VALUES ('acme', 'sqlite:acme.db'), ('globex', 'sqlite:globex.db');

-- +goose Down
DROP TABLE tenants;
