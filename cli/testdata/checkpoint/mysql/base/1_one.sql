-- +goose Up
CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL, f FLOAT, d DOUBLE, b BLOB, ts TIMESTAMP DEFAULT '2020-01-01 00:00:01', j JSON, g VARCHAR(60) AS (CONCAT(name, '!')) STORED, bi BIT(3), en ENUM('a','b'));
INSERT INTO users (name, f, d, b, j, bi, en) VALUES ('a''b\\c', 0.1, 0.1, x'00ff', '{"a": 1}', b'101', 'b'), ('x\ny; z', 3.14159274, 1e300, NULL, NULL, NULL, NULL), ('gone', 0,0,'','{}',b'0','a');
DELETE FROM users WHERE name = 'gone';
-- +goose Down
DROP TABLE users;
