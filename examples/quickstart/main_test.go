package main

import (
	"fmt"
	"os"
)

func Example() {
	if err := run(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// First deployment: an empty SQLite database, environments base and test
	//
	//   ✓ applied  20240102090000  base  create_customers
	//   ✓ applied  20240102091500  base  create_orders
	//   ✓ applied  20240109140000  base  create_order_items
	//   ✓ applied  20240122100000  base  create_settings
	//   ✓ applied  20240206080000  test  test_settings
	//   ✓ applied  20240207080000  test  seed_customers_and_orders
	//   ✓ applied  20240219110000  base  add_orders_status
	//   ✓ applied  20240304100000  base  add_customers_phone
	//
	// Second deployment: three new migrations, of which the last one fails
	//
	//   ✓ applied  20240401090000  base  create_shipments
	//   ✓ applied  20240401091000  base  add_orders_carrier
	//   ✗ failed   20240401092000  base  one_account_per_email
	//   ↩ undone   20240401091000  base  add_orders_carrier
	//   ↩ undone   20240401090000  base  create_shipments
	//
	// What Migrate returned
	//
	//   errors.Is  gooseplus.ErrRollForward
	//   source     sql/base/20240401092000_one_account_per_email.sql
	//   statement  CREATE UNIQUE INDEX customers_email ON customers (email);
	//   driver     constraint failed: UNIQUE constraint failed: customers.email (2067)
	//
	// The database, before and after the second deployment
	//
	//   version    before  20240304100000
	//              after   20240304100000  ✓
	//   tables     before  customers, order_items, orders, settings
	//              after   customers, order_items, orders, settings  ✓
	//   orders     before  id, customer_id, ordered_at, status
	//              after   id, customer_id, ordered_at, status  ✓
}
