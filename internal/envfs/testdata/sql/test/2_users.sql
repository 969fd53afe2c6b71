-- +goose Up
INSERT INTO users VALUES (1);
-- +goose Down
DELETE FROM users;
