-- +goose Up
CREATE TRIGGER touch BEFORE UPDATE OF mood ON person FOR EACH ROW WHEN (OLD.mood IS DISTINCT FROM NEW.mood) EXECUTE FUNCTION touch();
UPDATE person SET mood = 'happy' WHERE first_name = 'Bob';
ALTER TABLE person DISABLE TRIGGER touch;

-- +goose Down
DROP TRIGGER touch ON person;
