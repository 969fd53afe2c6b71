-- +goose Up
INSERT INTO units (id, name) VALUES (1, 'Sales');
INSERT INTO accounts (email, unit_id) VALUES ('ada@example.com', 1), ('ada@example.com', 1);

-- +goose Down
DELETE FROM accounts WHERE unit_id = 1;
DELETE FROM units WHERE id = 1;
