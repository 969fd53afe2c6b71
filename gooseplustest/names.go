package gooseplustest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// The names of databases say what they are for, so that whoever meets one later knows whether it is still needed:
//
//	gpt_<project>_t_<lineage>_<key>            a template
//	gpt_<project>_b_<process>_<number>         one that is being built
//	gpt_<project>_c_<process>_<number>_<test>  the database of a test
//	gpt_<project>_c_<process>_<number>         the same, made before there was a test for it
const (
	prefix       = "gpt_"
	kindTemplate = "t"
	kindBuilding = "b"
	kindClone    = "c"
)

// process tells this process from all others that use the server.
var process = strings.ToLower(rand.Text()[:12])

var number atomic.Int64

func templateName(project, lineage, key string) string {
	return prefix + project + "_" + kindTemplate + "_" + lineage + "_" + key
}

// ownName is for what belongs to this process, and to no test yet.
func ownName(project, kind string) string {
	return fmt.Sprintf("%s%s_%s_%s_%d", prefix, project, kind, process, number.Add(1))
}

// cloneName has at most 60 lower-case letters, digits and underscores: PostgreSQL cuts names at 63 bytes, MySQL refuses
// more than 64 characters.
func cloneName(project, test string) string { return testName(ownName(project, kindClone), test) }

// testName is the name of a test's database that has been made for any test.
func testName(name, test string) string {
	name += "_" + plain(test)
	return strings.TrimRight(name[:min(len(name), 60)], "_")
}

// plain makes a text part of a name.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(text))
}

// owned are the names of what belongs to a process. It is strict, since what has such a name is dropped.
var owned = regexp.MustCompile(`^` + prefix + `[0-9a-f]{8}_[` + kindBuilding + kindClone + `]_([a-z2-7]{12})_[0-9]+(_|$)`)

// owner is the process that a database belongs to, "" for a template and for what isn't ours.
func owner(database string) string {
	if m := owned.FindStringSubmatch(database); m != nil {
		return m[1]
	}
	return ""
}

// ofAnyTest says whether the name of a clone doesn't say whose it is.
func ofAnyTest(database string) bool { return len(splitName(database)) == 5 }

// splitName returns the parts of one of our names, nil for another one.
func splitName(database string) []string {
	if !strings.HasPrefix(database, prefix) {
		return nil
	}
	return strings.Split(database, "_")
}

// lockKey is the number of an advisory lock.
func lockKey(what, name string) int64 {
	sum := sha256.Sum256([]byte("gooseplustest " + what + " " + name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

const (
	// keep is how long the database of a failed test stays.
	keep = 72 * time.Hour
	// forget is how long a template stays that nobody uses.
	forget = 7 * 24 * time.Hour
)

// A note is what a database says of itself besides its name: since when it is used, or until when it is kept.
func note(what string, at time.Time) string {
	return "gooseplustest: " + what + " " + at.UTC().Format(time.RFC3339)
}

// noteOf is the note of a template: it says as well which migrations it has.
func noteOf(at time.Time, migrations []string) string {
	return note(used, at) + noteMigrations + strings.Join(migrations, " ")
}

const noteMigrations = ", migrations "

const (
	used = "used"
	kept = "kept until"
)

// noted reads a note.
func noted(text, what string) (at time.Time, ok bool) {
	rest, ok := strings.CutPrefix(text, "gooseplustest: "+what+" ")
	if !ok {
		return time.Time{}, false
	}
	rest, _, _ = strings.Cut(rest, noteMigrations)
	at, err := time.Parse(time.RFC3339, rest)
	return at, err == nil
}

// notedMigrations are those that a template has by its note.
func notedMigrations(text string) []string {
	_, list, _ := strings.Cut(text, noteMigrations)
	return strings.Fields(list)
}
