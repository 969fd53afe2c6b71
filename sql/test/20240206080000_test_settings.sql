-- +goose Up
INSERT INTO settings (name, value) VALUES
    ('payment_provider', 'sandbox'),
    ('send_mail', 'false');

-- +goose Down
DELETE FROM settings WHERE name IN ('payment_provider', 'send_mail');
