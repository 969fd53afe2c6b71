-- +goose Up
INSERT INTO moment (at, local) VALUES ('2024-02-02 00:00+00', 'the last; really') -- no semicolon, and a comment
;
/* a comment; that /* holds one; */ is none */
SELECT quoted('a', 'b', 'c');

-- +goose Down
DELETE FROM moment WHERE local = 'the last; really';
