-- +goose Up
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE TABLE users (id bigserial PRIMARY KEY, name text NOT NULL, mood mood DEFAULT 'ok', n posint, full_name text GENERATED ALWAYS AS (name || '!') STORED);
COMMENT ON TABLE users IS 'people; with a semicolon';
INSERT INTO users (name, n) VALUES ('a''b', 1), (E'line\nbreak; x', 2), ('-- +goose Down', 3);
DELETE FROM users WHERE id = 3;
CREATE INDEX users_name ON users (lower(name));
-- +goose Down
DROP TABLE users; DROP DOMAIN posint; DROP TYPE mood;
