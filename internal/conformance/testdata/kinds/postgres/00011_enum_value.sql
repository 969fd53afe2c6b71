-- +goose Up
ALTER TYPE mood ADD VALUE 'furious' BEFORE 'sad';

-- +goose Down
SELECT 1;
