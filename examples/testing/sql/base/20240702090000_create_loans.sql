-- +goose Up
CREATE TABLE loans (
    id       BIGSERIAL PRIMARY KEY,
    book     BIGINT NOT NULL REFERENCES books (id),
    reader   TEXT NOT NULL,
    returned BOOLEAN NOT NULL DEFAULT false
);

CREATE INDEX loans_open_idx ON loans (book) WHERE NOT returned;

-- +goose Down
DROP TABLE loans;
