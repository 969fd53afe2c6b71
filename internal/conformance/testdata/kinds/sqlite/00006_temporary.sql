-- +goose Up
CREATE TEMP TABLE work AS SELECT 8 AS id;
INSERT INTO "Order" (id) SELECT id FROM work;

-- +goose Down
DELETE FROM "Order" WHERE id = 8;
