-- +goose Up
SAVEPOINT here;
DELETE FROM person;
ROLLBACK TO SAVEPOINT here;
RELEASE SAVEPOINT here;
NOTIFY somebody, 'a; b';

-- +goose Down
SELECT 1;
