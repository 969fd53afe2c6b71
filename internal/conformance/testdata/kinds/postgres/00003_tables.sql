-- +goose Up
CREATE TABLE person (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email email NOT NULL UNIQUE,
  first_name text NOT NULL,
  last_name text NOT NULL,
  full_name text GENERATED ALWAYS AS (first_name || ' ' || last_name) STORED,
  mood mood NOT NULL DEFAULT 'ok',
  home place,
  tags text[] NOT NULL DEFAULT '{}',
  extra jsonb NOT NULL DEFAULT '{"a; b": "it''s"}'
);
COMMENT ON TABLE person IS 'somebody; it''s -- a comment';
COMMENT ON COLUMN person.extra IS E'with a \\ and a \'quote\'';
CREATE TABLE "Order" (
  id serial PRIMARY KEY,
  person_id bigint NOT NULL REFERENCES person (id) ON DELETE CASCADE ON UPDATE SET NULL,
  "select" numeric(10, 2) NOT NULL CHECK ("select" >= 0),
  placed tsrange,
  EXCLUDE USING gist (placed WITH &&)
);

-- +goose Down
DROP TABLE "Order";
DROP TABLE person;
