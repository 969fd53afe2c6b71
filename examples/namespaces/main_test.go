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
	// First deployment
	//   up   core 1
	//   up   shared 1
	//   up   identity 1
	//   up   identity 2
	//   up   customer-mgmt 1
	//   core is at version 1, 0 pending
	//   shared is at version 1, 0 pending
	//   identity is at version 2, 0 pending
	//   customer-mgmt is at version 1, 0 pending
	// Next release: two accounts have the same address, so that identity fails
	//   up   core 2
	//   up   identity 3  failed
	//   down core 2
	//   namespace "identity": migration 3 (sql/identity/base/3_one_account_per_email.sql:2) up: constraint failed: UNIQUE constraint failed: accounts.email (2067)
	//   core is at version 1, 1 pending
	//   shared is at version 1, 0 pending
	//   identity is at version 2, 1 pending
	//   customer-mgmt is at version 1, 0 pending
	// core alone, and back
	//   up   core 2
	//   down core 2
}
