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
	// the first release serves: fast lane at 2, slow lane at 0, 100 orders have a price
	// the next release serves: fast lane at 3, slow lane at 0, 100 orders have a price
	// the slow lane is done: fast lane at 3, slow lane at 1, 250 orders have a price
}
