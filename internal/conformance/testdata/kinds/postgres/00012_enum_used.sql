-- +goose Up
INSERT INTO person (email, first_name, last_name, mood) VALUES ('cyd@example.com', 'Cyd', 'C', 'furious');

-- +goose Down
DELETE FROM person WHERE mood = 'furious';
