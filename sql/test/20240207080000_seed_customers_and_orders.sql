-- Two customers share an e-mail address, as customers of a shop that grew do.

-- +goose Up
INSERT INTO customers (id, name, email) VALUES
    (9001, 'Ada Example', 'ada@shop.example'),
    (9002, 'Ben Example', 'ben@shop.example'),
    (9003, 'A. Example', 'ada@shop.example');
INSERT INTO orders (id, customer_id) VALUES
    (9101, 9001),
    (9102, 9002);
INSERT INTO order_items (order_id, line, article, quantity, price_cents) VALUES
    (9101, 1, 'Tea, 100 g', 2, 650),
    (9101, 2, 'Teapot', 1, 2900),
    (9102, 1, 'Coffee, 250 g', 1, 890);

-- +goose Down
DELETE FROM order_items WHERE order_id IN (9101, 9102);
DELETE FROM orders WHERE id IN (9101, 9102);
DELETE FROM customers WHERE id IN (9001, 9002, 9003);
