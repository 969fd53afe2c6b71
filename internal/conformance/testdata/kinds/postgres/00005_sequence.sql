-- +goose Up
CREATE SEQUENCE invoice_number START 1000 INCREMENT 5 MAXVALUE 99999 CYCLE;
SELECT nextval('invoice_number'), nextval('invoice_number');
SELECT setval(pg_get_serial_sequence('person', 'id'), 50);
ALTER SEQUENCE invoice_number CACHE 3 OWNED BY "Order".id;

-- +goose Down
DROP SEQUENCE invoice_number;
