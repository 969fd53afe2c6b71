-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE n int;
BEGIN
  FOR n IN 1..3 LOOP
    EXECUTE format('CREATE TABLE shard_%s (id int PRIMARY KEY, at timestamptz)', n);
  END LOOP;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO shard_1 (id) VALUES (1);
  INSERT INTO shard_2 (id) VALUES (2);
END
$$;
-- +goose StatementEnd
CALL fill();

-- +goose Down
DROP PROCEDURE fill();
DROP TABLE shard_1, shard_2, shard_3;
