-- +goose Up
CREATE VIEW available AS
SELECT b.id, b.title, b.copies - count(l.id) AS copies
FROM books b LEFT JOIN loans l ON l.book = b.id AND NOT l.returned
GROUP BY b.id;

-- +goose Down
DROP VIEW available;
