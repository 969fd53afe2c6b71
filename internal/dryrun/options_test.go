package dryrun

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

func TestCheckOptionRefuses(t *testing.T) {
	t.Parallel()
	gooseStore, err := database.NewStore(goose.DialectSQLite3, "t")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		option goose.ProviderOption
		says   string
	}{
		{"nil", nil, "nil"},
		{"WithStore", goose.WithStore(gooseStore), "WithVersionTable"},
		{"WithStore(nil)", goose.WithStore(nil), "store must not be nil"},
		{"WithTableName", goose.WithTableName("versions"), "WithVersionTable"},
		{"WithTableName of goose's default", goose.WithTableName(goose.DefaultTablename), "WithVersionTable"},
		{`WithTableName("")`, goose.WithTableName(""), "table name must not be empty"},
		{"WithLocker", goose.WithLocker(struct{ lock.Locker }{}), "WithGlobalLock"},
		{"WithSessionLocker", goose.WithSessionLocker(struct{ lock.SessionLocker }{}), "WithGlobalLock"},
		{"WithLogger", goose.WithLogger(log.New(io.Discard, "", 0)), "WithLogger"},
		{"WithLogger(nil)", goose.WithLogger(nil), "logger must not be nil"},
		{"WithSlog", goose.WithSlog(slog.New(slog.DiscardHandler)), "WithLogger"},
		{"WithSlog(nil)", goose.WithSlog(nil), "logger must not be nil"},
		{"WithDisableVersioning", goose.WithDisableVersioning(true), "versioning off"},
		{"WithIsolateDDL", goose.WithIsolateDDL(true), "transactions"},
		{"WithGoMigrations", goose.WithGoMigrations(goose.NewGoMigration(1, nil, nil)), "gooseplus.WithGoMigrations"},
		{"WithGoMigrations of a broken one", goose.WithGoMigrations(&goose.Migration{Version: 1}), "invalid go migration"},
		{"WithExcludeVersions(0)", goose.WithExcludeVersions([]int64{0}), "greater than 0"},
		{"WithExcludeVersions twice the same", goose.WithExcludeVersions([]int64{1, 1}), "duplicate"},
		{"WithExcludeNames twice the same", goose.WithExcludeNames([]string{"a", "a"}), "duplicate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := CheckOption(tc.option)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want an error with %q", err, tc.says)
			}
		})
	}
}

func TestCheckOptionAccepts(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]goose.ProviderOption{
		"WithExcludeNames":                 goose.WithExcludeNames([]string{"1_a.sql"}),
		"WithExcludeNames of none":         goose.WithExcludeNames(nil),
		"WithExcludeVersions":              goose.WithExcludeVersions([]int64{1, 2}),
		"WithExcludeVersions of the probe": goose.WithExcludeVersions([]int64{probeVersion}),
		"WithVerbose(true)":                goose.WithVerbose(true),
		"WithVerbose(false)":               goose.WithVerbose(false),
		"WithAllowOutofOrder(true)":        goose.WithAllowOutofOrder(true),
		"WithAllowOutofOrder(false)":       goose.WithAllowOutofOrder(false),
		"WithDisableGlobalRegistry(true)":  goose.WithDisableGlobalRegistry(true),
		"WithDisableGlobalRegistry(false)": goose.WithDisableGlobalRegistry(false),
		"WithDisableVersioning(false)":     goose.WithDisableVersioning(false),
		"WithIsolateDDL(false)":            goose.WithIsolateDDL(false),
		"WithGoMigrations of none":         goose.WithGoMigrations(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := CheckOption(option); err != nil {
				t.Error(err)
			}
		})
	}
}

// It looks at the process's standard logger, so nothing here runs at the same time.
func TestDryRunsAreSilent(t *testing.T) {
	var out bytes.Buffer
	before := log.Writer()
	log.SetOutput(&out)
	t.Cleanup(func() { log.SetOutput(before) })
	if err := CheckOption(goose.WithVerbose(true)); err != nil {
		t.Fatal(err)
	}
	if _, err := Versions(nil, goose.WithVerbose(true), goose.WithGoMigrations(goose.NewGoMigration(1, nil, nil))); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("goose wrote %q", out.String())
	}
}
