-- +goose Up
INSERT INTO moment SELECT '2024-01-01 00:00+00', CASE current_setting('TimeZone') WHEN 'Asia/Tokyo' THEN 'leaked' END;
CREATE TABLE unit (id int PRIMARY KEY, CHECK (id > 0) NOT VALID);
ALTER TABLE unit ADD COLUMN name text DEFAULT 'x', ALTER COLUMN name SET NOT NULL, ADD UNIQUE (name);

-- +goose Down
DROP TABLE unit;
DELETE FROM moment WHERE local IS NULL;
