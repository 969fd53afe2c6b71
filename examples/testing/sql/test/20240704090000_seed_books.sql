-- +goose Up
INSERT INTO books (title, shelf, copies) VALUES
    ('Middlemarch', 'fiction', 2),
    ('On the Origin of Species', 'science', 1);

-- +goose Down
DELETE FROM books WHERE title IN ('Middlemarch', 'On the Origin of Species');
