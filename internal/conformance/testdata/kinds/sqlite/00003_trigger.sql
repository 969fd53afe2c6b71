-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER ordered AFTER INSERT ON "Order" BEGIN
  UPDATE person SET name = name || '!' WHERE id = NEW.person_id;
  SELECT 1;
END;
-- +goose StatementEnd
INSERT INTO "Order" VALUES (7, 1);

-- +goose Down
DROP TRIGGER ordered;
