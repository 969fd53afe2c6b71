-- +goose Up
ALTER TABLE shard_1 RENAME COLUMN at TO moment;
ALTER TABLE shard_1 RENAME TO first_shard;
ALTER TYPE place ADD ATTRIBUTE city text;
ALTER DOMAIN email SET DEFAULT 'nobody@example.com';
CREATE COLLATION plain (provider = libc, locale = 'C');
CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);
CREATE CAST (mood AS place) WITH INOUT;
ALTER TABLE unit VALIDATE CONSTRAINT unit_id_check;
ANALYZE person;

-- +goose Down
DROP CAST (mood AS place);
DROP TEXT SEARCH CONFIGURATION words;
DROP COLLATION plain;
ALTER TYPE place DROP ATTRIBUTE city;
ALTER TABLE first_shard RENAME TO shard_1;
ALTER TABLE shard_1 RENAME COLUMN moment TO at;
