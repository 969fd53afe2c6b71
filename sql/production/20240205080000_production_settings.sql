-- +goose Up
INSERT INTO settings (name, value) VALUES
    ('payment_provider', 'live'),
    ('send_mail', 'true');

-- +goose Down
DELETE FROM settings WHERE name IN ('payment_provider', 'send_mail');
