-- +goose Up
INSERT INTO work VALUES (6);
COMMIT;

-- +goose Down
DELETE FROM work WHERE id > 5;
