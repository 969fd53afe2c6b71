-- +goose Up
CREATE TABLE organisations (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name   text NOT NULL,
    schema text NOT NULL UNIQUE
);

-- +goose Down
DROP TABLE organisations;
