package migrations

import "github.com/gooseplus/gooseplus"

func init() {
	Schema.Define(4).
		Up(`
			DROP VIEW IF EXISTS city_list;
			CREATE VIEW city_list AS
				SELECT city.name AS city, country.name AS country FROM city JOIN country ON code = country;
		`).
		Down(`DROP VIEW city_list`)

	// The way back from the second version of the view is the first one. That is not copied: it is
	// executed again.
	Schema.Define(5).
		Up(`
			DROP VIEW city_list;
			CREATE VIEW city_list AS
				SELECT city.name || ' (' || population || ')' AS city, country.name AS country
				FROM city JOIN country ON code = country;
		`).
		DownAction(gooseplus.Replay(4))
}
