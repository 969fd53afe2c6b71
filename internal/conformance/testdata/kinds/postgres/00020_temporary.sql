-- +goose Up
CREATE TEMPORARY TABLE work ON COMMIT DROP AS SELECT 7 AS id;
INSERT INTO shard_3 (id) SELECT id FROM work;

-- +goose Down
DELETE FROM shard_3;
