package envfs

import (
	"errors"
	"strings"
	"testing"
)

func TestNearMiss(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		situation, environment, folder string
		near                           bool
	}{
		{"case", "Production", "production", true},
		{"case in a short name", "QA", "qa", true},
		{"case and digits", "EU1", "eu1", true},
		{"an underscore for a hyphen", "prod_eu", "prod-eu", true},
		{"swapped letters", "tets", "test", true},
		{"swapped letters, case", "Tset", "test", true},
		{"one letter missing", "prodution", "production", true},
		{"one letter missing in a short name", "tst", "test", true},
		{"one letter too many", "teest", "test", true},
		{"one wrong letter", "demu", "demo", true},
		{"two edits in a long name", "prdocution", "production", true},
		{"two edits in eight letters", "stageing", "stagings", true},
		{"two edits in a short name", "sting", "staging", false},
		{"two swaps in a long name", "prodcutoin1", "production1", true},
		{"three edits in a long name", "rpodcutino", "production", false},
		{"other digits", "eu1", "eu2", false},
		{"a digit more", "test2", "test", false},
		{"a short part that differs", "prod-eu", "prod-us", false},
		{"a short part that differs in a long name", "production-eu", "production-us", false},
		{"a single letter that differs", "tenant-a", "tenant-b", false},
		{"a part that differs a lot", "eu-east-prod", "eu-west-prod", false},
		{"a slip in one part", "prodution-eu", "production-eu", true},
		{"a hyphen missing", "prodeu", "prod-eu", true},
		{"two letters", "eu", "us", false},
		{"an abbreviation", "prod", "production", true},
		{"an abbreviation of three letters", "dev", "development", true},
		{"an abbreviation, case", "Stag", "staging", true},
		{"an abbreviated last part", "eu_prod", "eu-production", true},
		{"an abbreviation of two letters", "qa", "qatar", false},
		{"an abbreviation of two letters in the last part", "tenant-ac", "tenant-acmecorp", false},
		{"the other way round", "production", "prod", false},
		{"not the beginning of the folder", "prd", "production", false},
		{"another part", "test", "test-eu", false},
		{"another part after an underscore", "test", "test_eu", false},
		{"a number at the end", "tenant", "tenant0042", false},
		{"a number that goes on with letters", "shard1", "shard1archive", false},
		{"another word", "test", "production", false},
		{"letters beyond ASCII", "prüfung", "prufung", true},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			fsys := tree("sql/base/1_a.sql", "sql/"+tc.folder+"/2_b.sql")
			o, err := New(fsys, "sql", []string{"base", tc.environment})
			if !tc.near {
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "Missing", o.Missing, []string{tc.environment})
				return
			}
			var near *NearMissError
			if !errors.As(err, &near) {
				t.Fatalf("got %v, want a NearMissError", err)
			}
			equal(t, "NearMissError", *near, NearMissError{Environment: tc.environment, DidYouMean: tc.folder, Base: "sql"})
			for _, part := range []string{tc.environment, tc.folder, "sql/" + tc.environment} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is missing in %q", part, err)
				}
			}
		})
	}
}

func TestNearMissIsSymmetric(t *testing.T) {
	t.Parallel()
	names := []string{"test", "tets", "production", "prodution", "prod-eu", "prod-us", "eu1", "eu2", "QA", "qa", "", "-", "é"}
	for _, a := range names {
		for _, b := range names {
			if nearly(a, b) != nearly(b, a) {
				t.Errorf("nearly(%q, %q) = %t, the other way it isn't", a, b, nearly(a, b))
			}
		}
	}
}

func TestChosenFolderIsNotWhatAMisspellingHides(t *testing.T) {
	t.Parallel()
	fsys := tree("sql/test/1_a.sql", "sql/base/2_b.sql")
	o, err := New(fsys, "sql", []string{"base", "test", "tests"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "Missing", o.Missing, []string{"tests"})
}

func TestFileIsNoNearMiss(t *testing.T) {
	t.Parallel()
	o, err := New(tree("sql/base/1_a.sql", "sql/tests"), "sql", []string{"base", "test"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "Missing", o.Missing, []string{"test"})
}
