package gooseplustest

import "testing"

func TestPostgresDSNNamesAnotherDatabase(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p@h:1/a?sslmode=disable":         "postgres://u:p@h:1/x?sslmode=disable",
		"postgresql://u@h":                             "postgresql://u@h/x",
		"postgres://u:p%2F@h/a?dbname=b&sslmode=a":     "postgres://u:p%2F@h/x?sslmode=a",
		"postgres://h/a?options=-c%20b%3D1&database=b": "postgres://h/x?options=-c%20b%3D1",
		"postgres:///a?host=/run/x":                    "postgres:///x?host=/run/x",
		"postgres://u:p@h1,h2:5432,5433/a":             "postgres://u:p@h1,h2:5432,5433/x",
		"postgres://[::1]:5432,[::1]:5433":             "postgres://[::1]:5432,[::1]:5433/x",
		"postgres://u@%2Ftmp%2Fsock/a":                 "postgres://u@%2Ftmp%2Fsock/x",
		" postgres://u@h/a\n":                          "postgres://u@h/x",
		" host=h":                                      "host=h dbname='x'",
		"host=h options='-c a://b'":                    "host=h options='-c a://b' dbname='x'",
		"jdbc:postgresql://h/a?user=u":                 "",
		"POSTGRES://h/a?user=u":                        "",
		"host=h user=u password='a b' dbname=a":        "host=h user=u password='a b' dbname=a dbname='x'",
		"mysql://nonsense":                             "",
		"postgres://u:secret%zz@h/a":                   "",
		"just text":                                    "",
	} {
		got, err := postgresDSN(dsn, "x")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, error %v, want %q", dsn, got, err, want)
		}
	}
}

func TestThePasswordIsNotShown(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:tiger@h/d":                  "postgres://u:xxxxx@h/d",
		" postgresql://u:tiger@h/d?sslmode=a\n":   "postgresql://u:xxxxx@h/d?sslmode=a",
		"postgres://u:hunter%2F2@h/d":             "postgres://u:xxxxx@h/d",
		"postgres://u:c2VjcmV0Kw==@h/d":           "postgres://u:xxxxx@h/d",
		"postgres://u@h/d?password=tiger&x=y":     "postgres://u@h/d?password=xxxxx&x=y",
		"postgres://postgres:postgres@h/d":        "postgres://postgres:xxxxx@h/d",
		"postgres://u@h/d":                        "postgres://u@h/d",
		"host=h password='clear' x=y":             "host=h password=xxxxx x=y",
		"host=h password=tiger user=u":            "host=h password=xxxxx user=u",
		`host=h password='it\'s a \\' user=u`:     `host=h password=xxxxx user=u`,
		"u:tiger@tcp(h:1)/d":                      "u:xxxxx@tcp(h:1)/d",
		"u@tcp(h:1)/d":                            "u@tcp(h:1)/d",
		"u:my pass@tcp(h:1)/d?a=b@c":              "u:xxxxx@tcp(h:1)/d?a=b%40c",
		"u:p@ss:word/x@tcp(h:1)/d?parseTime=true": "u:xxxxx@tcp(h:1)/d?parseTime=true",
	} {
		if got := shown(dsn); got != want {
			t.Errorf("%s is shown as %s, want %s", dsn, got, want)
		}
	}
}
