-- +goose Up
CREATE TABLE pair (id int PRIMARY KEY, other int REFERENCES pair DEFERRABLE INITIALLY DEFERRED);
INSERT INTO pair VALUES (1, 2), (2, 1);

-- +goose Down
DROP TABLE pair;
