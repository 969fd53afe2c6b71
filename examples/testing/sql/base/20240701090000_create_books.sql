-- +goose Up
CREATE TYPE shelf AS ENUM ('fiction', 'science');

CREATE TABLE books (
    id     BIGSERIAL PRIMARY KEY,
    title  TEXT NOT NULL,
    shelf  shelf NOT NULL,
    copies INTEGER NOT NULL DEFAULT 1 CHECK (copies >= 0)
);

-- +goose Down
DROP TABLE books;
DROP TYPE shelf;
