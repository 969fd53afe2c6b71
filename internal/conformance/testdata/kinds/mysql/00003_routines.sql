-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER ordered AFTER INSERT ON `Order` FOR EACH ROW BEGIN
  UPDATE person SET tags = 'b' WHERE id = NEW.person_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE PROCEDURE fill() BEGIN
  INSERT INTO `Order` (person_id, `select`) VALUES (1, 5);
  INSERT INTO `Order` (person_id, `select`) VALUES (NULL, 6);
END;
-- +goose StatementEnd
CALL fill();

-- +goose Down
DROP PROCEDURE fill;
DROP TRIGGER ordered;
