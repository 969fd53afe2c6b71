-- +goose Up
CREATE TABLE currencies (
    code   CHAR(3)     NOT NULL PRIMARY KEY,
    name   VARCHAR(64) NOT NULL,
    digits INTEGER     NOT NULL
);

-- +goose Down
DROP TABLE IF EXISTS currencies;
