-- +goose Up
GRANT SELECT, INSERT (email, first_name) ON person TO PUBLIC;
REVOKE INSERT (first_name) ON person FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION quoted(text, text[]) FROM PUBLIC;
GRANT USAGE ON SEQUENCE invoice_number TO PUBLIC;
ALTER TABLE person ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON person FOR SELECT USING (mood <> 'sad');

-- +goose Down
DROP POLICY own ON person;
ALTER TABLE person DISABLE ROW LEVEL SECURITY;
REVOKE ALL ON person, invoice_number FROM PUBLIC;
