// The gooseplus command migrates PostgreSQL, MySQL, MariaDB and SQLite databases. gooseplus --help says how.
package main

import (
	"os"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus/cli"
)

func main() { os.Exit(cli.Run(cli.Standalone())) }
