-- +goose Up
CREATE VIEW people AS SELECT id, full_name, mood FROM person;
CREATE VIEW happy WITH (security_barrier) AS SELECT * FROM people WHERE mood = 'happy' WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW happy_count AS SELECT count(*) AS n FROM happy WITH NO DATA;
REFRESH MATERIALIZED VIEW happy_count;
CREATE UNIQUE INDEX happy_count_n ON happy_count (n);
CREATE RULE no_delete AS ON DELETE TO people DO INSTEAD NOTHING;

-- +goose Down
DROP MATERIALIZED VIEW happy_count;
DROP VIEW happy;
DROP VIEW people;
