-- +goose Up
SET LOCAL timezone = 'Asia/Tokyo';
CREATE TABLE moment (at timestamptz, local text);
INSERT INTO moment VALUES ('2024-01-01 00:00', current_setting('TimeZone'));

-- +goose Down
DROP TABLE moment;
