package gooseplustest

import "testing"

func TestPostgresDSNNamesAnotherDatabase(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p@h:1/a?sslmode=disable":     "postgres://u:p@h:1/x?sslmode=disable",
		"postgresql://u@h":                         "postgresql://u@h/x",
		"postgres://u:p%2F@h/a?dbname=b&sslmode=a": "postgres://u:p%2F@h/x?sslmode=a",
		"host=h user=u password='a b' dbname=a":    "host=h user=u password='a b' dbname=a dbname='x'",
		"mysql://nonsense":                         "",
		"postgres://u:secret%zz@h/a":               "",
		"just text":                                "",
	} {
		got, err := postgresDSN(dsn, "x")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, error %v, want %q", dsn, got, err, want)
		}
	}
}

func TestAPasswordOfTheEnvironmentIsNotShown(t *testing.T) {
	t.Setenv("GOOSEPLUSTEST_SECRET", "hunter/2")
	t.Setenv("GOOSEPLUSTEST_DSN", "mysql://u:tiger@h/")
	t.Setenv("GOOSEPLUSTEST_OTHER_DSN", "postgres://h/?password=query&sslmode=disable")
	for dsn, want := range map[string]string{
		"postgres://u:clear@h/d":              "postgres://u:clear@h/d",
		"postgres://u:hunter%2F2@h/d":         "postgres://u:xxxxx@h/d",
		"postgres://u:tiger@h/d":              "postgres://u:xxxxx@h/d",
		"postgres://u@h/d?password=clear&x=y": "postgres://u@h/d?password=clear&x=y",
		"postgres://u@h/d?password=tiger&x=y": "postgres://u@h/d?password=xxxxx&x=y",
		"postgres://u@h/d?password=query&x=y": "postgres://u@h/d?password=xxxxx&x=y",
		"host=h password='clear' x=y":         "host=h password='clear' x=y",
		"host=h password=tiger user=u":        "host=h password=xxxxx user=u",
		"u:clear@tcp(h:1)/d":                  "u:clear@tcp(h:1)/d",
		"u:tiger@tcp(h:1)/d":                  "u:xxxxx@tcp(h:1)/d",
		"u@tcp(h:1)/d":                        "u@tcp(h:1)/d",
	} {
		if got := shown(dsn); got != want {
			t.Errorf("%s is shown as %s, want %s", dsn, got, want)
		}
	}
}
