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
	// applied sql/base/20240501090000_create_currencies.sql
	// applied sql/base/20240501091000_load_currencies.go
	// applied sql/base/20240501092000_create_prices.sql
	//
	// Gift card  CHF    10.00  (Swiss franc)
	// Gift card  EUR    10.00  (Euro)
	// Gift card  GBP    10.00  (Pound sterling)
	// Gift card  JPY     1000  (Yen)
	// Gift card  KWD   10.000  (Kuwaiti dinar)
	// Gift card  USD    10.00  (US dollar)
}
