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
	// production  customers: 0  orders: 0  payment provider: live
	// test        customers: 3  orders: 2  payment provider: sandbox
	//
	// laptop      customers: 0  orders: 0  payment provider: none
	//
	// adding the environment test, in strict order:
	//   migrations can't be merged: versions [20240206080000 20240207080000] are pending and lower than 20240304100000, the newest applied (WithStrictOrder)
	//
	// adding the environment test:
	//   at 20240304100000
	//   applied test/20240206080000_test_settings.sql
	//   applied test/20240207080000_seed_customers_and_orders.sql
	//
	// laptop      customers: 3  orders: 2  payment provider: sandbox
}
