-- +goose Up
CREATE TABLE prices (
    article  VARCHAR(100) NOT NULL,
    currency CHAR(3)      NOT NULL,
    amount   BIGINT       NOT NULL, -- in the currency's smallest unit
    PRIMARY KEY (article, currency),
    CONSTRAINT prices_currency FOREIGN KEY (currency) REFERENCES currencies (code)
);
INSERT INTO prices (article, currency, amount)
SELECT 'Gift card', code, CASE digits WHEN 3 THEN 10000 ELSE 1000 END FROM currencies;

-- +goose Down
DROP TABLE IF EXISTS prices;
