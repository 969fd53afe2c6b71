-- +goose Up
CREATE INDEX person_lower ON person (lower(last_name) DESC NULLS LAST) INCLUDE (mood) WHERE mood <> 'sad';
CREATE INDEX person_tags ON person USING gin (tags);
CREATE STATISTICS person_names (dependencies) ON first_name, last_name FROM person;
ALTER INDEX person_tags RENAME TO person_tags_gin;
CLUSTER "Order" USING "Order_pkey";

-- +goose Down
DROP STATISTICS person_names;
DROP INDEX person_tags_gin;
DROP INDEX person_lower;
