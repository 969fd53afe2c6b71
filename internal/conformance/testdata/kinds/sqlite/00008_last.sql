-- +goose Up
ANALYZE work;
CREATE INDEX work_number ON work (number DESC) -- no semicolon
;

-- +goose Down
DROP INDEX work_number;
