-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.tags := NEW.tags || 'touched;'::text; -- a comment; in a body
  RETURN NEW;
END;
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION quoted(a text, VARIADIC rest text[] DEFAULT '{}') RETURNS text LANGUAGE sql IMMUTABLE AS $body$
  SELECT $1 || $q$; '$q$ || array_to_string(rest, ';');
$body$;
-- +goose StatementEnd
CREATE FUNCTION standard(a int) RETURNS int LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT RETURN a + 1;
CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);

-- +goose Down
DROP OPERATOR ### (int, int);
DROP AGGREGATE total (int);
DROP FUNCTION standard(int);
DROP FUNCTION quoted(text, text[]);
DROP FUNCTION touch();
