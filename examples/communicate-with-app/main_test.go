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
	// without an exchange: migration failed, the database is back at its starting point: migration 20240601092000 (sql/base/20240601092000_convert_phones.go) up: the context has no exchange: use exchange.WithExchange
	//
	// with the country code +49:
	//   converted:  3
	//   unreadable: Claire
	//
	//   Ada     0151 555 01      +4915155501
	//   Ben     +33 1 555 02     +33155502
	//   Claire  ask at the desk  ?
	//   Dan     0151-555-04      +4915155504
}
