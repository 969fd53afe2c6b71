package cli

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/gooseplus/gooseplus"
)

// target is a version as an argument names it: a number, or a day.
type target struct {
	version int64
	day     time.Time // the zero time for a number
}

var dayPattern = regexp.MustCompile(`^\d{4}-\d{1,2}-\d{1,2}$`)

func parseVersion(s string, dates bool) (target, error) {
	if dayPattern.MatchString(s) {
		day, err := time.Parse(time.DateOnly, s)
		switch {
		case err != nil:
			return target{}, usagef("%q: there is no such day; write a date as YEAR-MONTH-DAY, such as 2023-11-03", s)
		case !dates:
			return target{}, usagef("%q: only up-to and down-to take a date; name a version", s)
		}
		return target{day: day}, nil
	}
	version, err := strconv.ParseInt(s, 10, 64)
	if err != nil || version < 0 {
		what := "a version is a number that isn't negative"
		if dates {
			what += ", or a date such as 2023-11-03"
		}
		return target{}, usagef("%q is not a version: %s", s, what)
	}
	return target{version: version}, nil
}

// firstTime is the lowest version that is a time rather than a number that somebody counted to; the root
// package draws the line there too.
const firstTime = 10_000_000

// resolve makes the newest migration up to its end of a target that is a day, 0 if there is none.
func (t target) resolve(ctx context.Context, m *gooseplus.Migrator) (int64, error) {
	if t.day.IsZero() {
		return t.version, nil
	}
	status, err := m.Status(ctx)
	if err != nil && len(status.Migrations) == 0 {
		return 0, err
	}
	var versions []int64
	for _, migration := range status.Migrations {
		versions = append(versions, migration.Version)
	}
	end, err := t.end(versions)
	if err != nil {
		return 0, err
	}
	newest := int64(0)
	for _, version := range versions {
		if version <= end {
			newest = max(newest, version)
		}
	}
	return newest, nil
}

// fault returns the error of a day where the versions of the migrations are not times or, of a run up, where all are later. It
// needs no database.
func (t target) fault(m *gooseplus.Migrator, up bool) error {
	if t.day.IsZero() {
		return nil
	}
	d, err := m.Describe()
	if err != nil {
		return nil // resolve may do without the faulty file
	}
	var versions []int64
	for _, migration := range d.Migrations {
		versions = append(versions, migration.Version)
	}
	end, err := t.end(versions)
	if err == nil && up && slices.Min(versions) > end {
		return tooOld(t.day.Format(time.DateOnly))
	}
	return err
}

// tooOld is the error of a run up to a day before all migrations.
func tooOld(day string) error { return usagef("%s: no migration is that old", day) }

// end is the highest version of a day, in the layout of the given versions.
func (t target) end(versions []int64) (int64, error) {
	layout := ""
	for _, version := range versions {
		if version < firstTime {
			continue
		}
		l := layoutOf(version)
		if layout != "" && l != layout {
			return 0, usagef("%s: a date can't be used, because the versions are times of several kinds, such as %d: name a version",
				t.day.Format(time.DateOnly), version)
		}
		layout = l
	}
	end, ok := endOf(t.day, layout)
	if !ok {
		return 0, usagef("%s: a date can't be used, because the versions are not times: name a version", t.day.Format(time.DateOnly))
	}
	return end, nil
}

// unixTime stands for the layout of versions that are seconds of Unix time.
const unixTime = "unix"

// layoutOf is how a version that is a time is written: as a day, as a day with two digits of its own, as seconds of
// Unix time, of which those that look like such a day come after 2033, and to the minute, or the second as goose does.
func layoutOf(version int64) string {
	switch digits := len(strconv.FormatInt(version, 10)); {
	case digits == 10 && version < 2_000_000_000:
		return unixTime
	case digits <= 14:
		return map[int]string{8: "20060102", 10: "2006010299", 12: "200601021504", 14: "20060102150405"}[digits]
	}
	return ""
}

// endOf is the highest version of a day.
func endOf(day time.Time, layout string) (int64, bool) {
	last := day.AddDate(0, 0, 1).Add(-time.Second)
	switch layout {
	case "":
		return 0, false
	case unixTime:
		return last.Unix(), true
	}
	version, err := strconv.ParseInt(last.Format(layout), 10, 64)
	return version, err == nil
}

// parseNumber is a version that can't be a day.
func parseNumber(s string) (int64, error) {
	t, err := parseVersion(s, false)
	return t.version, err
}
