-- +goose Up
INSERT INTO person (name, mood, tags) VALUES ('Ada; L', 'happy', 'a,b'), ('Bob', 'sad', '');
UPDATE person SET mood = 'ok' WHERE name = 'Bob';
INSERT INTO `Order` (person_id, `select`) SELECT id, 10 FROM person;
ALTER TABLE person AUTO_INCREMENT = 50;

-- +goose Down
DELETE FROM `Order`;
DELETE FROM person;
