-- +goose Up
CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, user_id INT, CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id));
INSERT INTO orders (user_id) VALUES (1);
CREATE VIEW zz AS SELECT id, name FROM users;
CREATE VIEW aa AS SELECT id FROM zz;
-- +goose StatementBegin
CREATE TRIGGER tr BEFORE INSERT ON users FOR EACH ROW BEGIN SET NEW.name = CONCAT(NEW.name, ';'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE PROCEDURE pr(IN a INT) BEGIN SELECT a; SELECT COUNT(*) FROM users; END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION fu(a INT) RETURNS INT DETERMINISTIC RETURN a + 1;
-- +goose StatementEnd
CREATE SEQUENCE sq START WITH 5;
SELECT NEXTVAL(sq);
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM orders;
-- +goose Down
DROP EVENT ev;
