-- +goose Up
CREATE TABLE person (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL DEFAULT 'it''s; so' COMMENT 'a; b', upper_name VARCHAR(50) GENERATED ALWAYS AS (UPPER(name)) STORED,
  mood ENUM('sad', 'ok', 'happy') NOT NULL DEFAULT 'ok', tags SET('a', 'b'), extra JSON, UNIQUE KEY person_name (name), CHECK (name <> '')) ENGINE = InnoDB COMMENT = 'somebody';
CREATE TABLE `Order` (id INT AUTO_INCREMENT PRIMARY KEY, person_id BIGINT, `select` DECIMAL(10,2) NOT NULL, CONSTRAINT order_person FOREIGN KEY (person_id) REFERENCES person (id) ON DELETE SET NULL);

-- +goose Down
DROP TABLE `Order`;
DROP TABLE person;
