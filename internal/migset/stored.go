package migset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/gooseplus/gooseplus/internal/dryrun"
)

// storedDown is a Down as the state table keeps it: the statements that goose would execute, with the values of ENVSUB in
// their places. A program without the file may not have the variables either, and goose takes a missing one for "".
// It is no goose file, because goose can't read every statement that it can execute.
type storedDown struct {
	Statements    []string `json:"statements"`
	NoTransaction bool     `json:"no_transaction,omitempty"`
}

// longestStored is what a TEXT column of MySQL holds.
const longestStored = 1<<16 - 1

// Stored is the text of a Down for the state table. It is "" for a Go function, and for a text that is not UTF-8 or too long.
// The text of an empty Down isn't "".
func (s Section) Stored() string {
	if s.IsGo || slices.ContainsFunc(s.Statements, func(text string) bool { return !utf8.ValidString(text) }) {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)                                                                      // people read it too
	if e.Encode(storedDown{s.Statements, !s.Transactional}) != nil || b.Len() > longestStored { // strings can always be JSON
		return ""
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// Restore makes a migration without an Up of the text that [Section.Stored] has made.
func Restore(version int64, source, text string) (Migration, Body, error) {
	var s storedDown
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return Migration{}, Body{}, fmt.Errorf("the stored Down of version %d can't be read: %w", version, err)
	}
	return Migration{Version: version, Source: source}, Body{Script: dryrun.Script{
		Down: s.Statements, Transactional: !s.NoTransaction, DownTransactional: !s.NoTransaction,
	}}, nil
}
