-- +goose Up
CREATE TABLE contacts (
    id    BIGINT       NOT NULL PRIMARY KEY,
    name  VARCHAR(100) NOT NULL,
    phone VARCHAR(32)  NOT NULL
);
INSERT INTO contacts (id, name, phone) VALUES
    (1, 'Ada',    '0151 555 01'),
    (2, 'Ben',    '+33 1 555 02'),
    (3, 'Claire', 'ask at the desk'),
    (4, 'Dan',    '0151-555-04');

-- +goose Down
DROP TABLE IF EXISTS contacts;
