package migset

import (
	"strings"
	"testing"
)

// TestMistyped: a version that can't be meant is refused, with what may have been meant.
func TestMistyped(t *testing.T) {
	t.Parallel()
	stamps := []int64{20230101120000, 20230201120000, 20240101120000}
	counted := []int64{1, 5, 10}
	both := []int64{1, 2, 20230101120000, 20240101120000}
	for situation, s := range map[string]struct {
		known   []int64
		version int64
		want    string // "" if it is accepted
	}{
		"a date among time stamps": {stamps, 20230102, "version 20230102 doesn't exist (did you mean 20230102000000, the date 2023-01-02?): " +
			"the nearest are 20230101120000 and 20230201120000. Nothing was touched"},
		"an hour and minute":         {stamps, 202301021530, "did you mean 20230102153000, the date 2023-01-02?"},
		"a digit too many":           {stamps, 202301011200000, "version 202301011200000 doesn't exist: the newest is 20240101120000. Nothing was touched"},
		"a digit too few":            {stamps, 2023010112000, "version 2023010112000 doesn't exist: the lowest is 20230101120000, and 0 is before it"},
		"beyond the newest":          {stamps, 20250101000000, "version 20250101000000 doesn't exist: the newest is 20240101120000"},
		"before the first":           {stamps, 20220101000000, "the lowest is 20230101120000"},
		"a count":                    {stamps, 2, "the lowest is 20230101120000"},
		"between two":                {stamps, 20230115000000, ""},
		"one of them":                {stamps, 20230201120000, ""},
		"counted, beyond the newest": {counted, 99, "version 99 doesn't exist: the newest is 10. Nothing was touched"},
		"counted, between two":       {counted, 7, ""},
		"counted, a time stamp":      {counted, 20230101120000, "the newest is 10"},
		"both, beyond the counted":   {both, 3, "version 3 doesn't exist: the nearest are 2 and 20230101120000"},
		"both, between time stamps":  {both, 20230601000000, ""},
		"dates, a time stamp":        {[]int64{20230101, 20240101}, 20230601120000, "did you mean 20230601, the date 2023-06-01?"},
		"nothing there":              {nil, 3, "version 3 doesn't exist: there are no migrations. Nothing was touched"},
	} {
		t.Run(situation, func(t *testing.T) {
			for name, err := range map[string]error{
				"known": Mistyped(s.version, s.known, nil), "applied": Mistyped(s.version, nil, s.known), "both": Mistyped(s.version, s.known, s.known),
			} {
				if s.want == "" && err != nil || s.want != "" && (err == nil || !strings.Contains(err.Error(), s.want)) {
					t.Errorf("%s: %v, want %q", name, err, s.want)
				}
			}
		})
	}
	if Mistyped(0, nil, nil) != nil || UnknownVersion(0, nil, nil) != nil {
		t.Error("0, which means no version at all, is refused")
	}
	if UnknownVersion(20230115000000, stamps, nil) == nil || UnknownVersion(20230201120000, nil, stamps) != nil {
		t.Error("UnknownVersion takes what lies between two versions, or refuses one that is applied")
	}
}
