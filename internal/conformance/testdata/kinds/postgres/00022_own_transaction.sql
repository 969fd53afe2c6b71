-- +goose Up
INSERT INTO work VALUES (6);
COMMIT;
BEGIN;
INSERT INTO work VALUES (7);

-- +goose Down
DELETE FROM work WHERE id > 5;
