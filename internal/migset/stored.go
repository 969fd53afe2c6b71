package migset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
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

// Stored is the text of a Down for a column that holds so many bytes, 0 for any number. It is "" for a Go function, and for a text
// that is not UTF-8 or too long. The text of an empty Down isn't "".
func (s Section) Stored(longest int) string {
	if s.IsGo || slices.ContainsFunc(s.Statements, func(text string) bool { return !utf8.ValidString(text) }) {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)                                           // people read it too
	if e.Encode(storedDown{s.Statements, !s.Transactional}) != nil { // strings can always be JSON
		return ""
	}
	text := ascii(string(bytes.TrimSpace(b.Bytes())))
	if longest > 0 && len(text) > longest {
		return ""
	}
	return text
}

// ascii is the same JSON without characters that a connection's or a database's character set may lack.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, half := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, half)
		}
	}
	return b.String()
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
