-- +goose Up
CREATE TABLE settings (
    name  VARCHAR(64)  NOT NULL PRIMARY KEY,
    value VARCHAR(255) NOT NULL
);
INSERT INTO settings (name, value) VALUES ('currency', 'EUR');

-- +goose Down
DROP TABLE IF EXISTS settings;
