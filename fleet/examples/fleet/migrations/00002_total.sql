-- +goose Up
ALTER TABLE orders ADD total numeric;
SELECT pg_sleep(0.2); -- so that there is something to see

-- +goose Down
ALTER TABLE orders DROP total;
