-- +goose Up
INSERT INTO person (email, first_name, last_name, mood, home, tags) VALUES
  ('ada@example.com', 'Ada', 'L;ovelace', 'happy', ROW('Main', 1), '{a,b}'),
  ('bob@example.com', 'Bob', 'O''Hara', 'sad', NULL, '{}');
INSERT INTO "Order" (person_id, "select") SELECT id, id * 10 FROM person ORDER BY id;
UPDATE person SET mood = 'ok' WHERE mood = 'sad';
WITH gone AS (DELETE FROM "Order" WHERE "select" > 15 RETURNING person_id)
INSERT INTO "Order" (person_id, "select") SELECT person_id, 99 FROM gone;

-- +goose Down
DELETE FROM person;
