// Package page writes the state of a fleet of tenants, for package cli and the module fleet, as one HTML page that needs nothing but itself:
// no other file, no network, and no JavaScript except for the filter and the order of the rows.
package page

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

// A Fleet is what the page shows.
type Fleet struct {
	Title     string    // "Tenants" if it is ""
	Generated time.Time // when the fleet was looked at; the zero time isn't shown
	Servers   bool      // the tenants have servers, and nobody knows how many migrations are pending
	Tenants   []Tenant
}

// A Tenant is one row. Every text is data: whatever it contains is shown as it is.
type Tenant struct {
	Name string
	// State is a gooseplus.TenantState, or the state of a tenant in a rollout. Any other is shown too.
	State   string
	Version int64  // the highest version applied, 0 if there is none, less if it isn't known
	Pending int    // how many migrations would be applied, less than 0 if it isn't known
	Server  string // shown instead of Pending if the fleet has servers
	Error   string
}

// Write writes the page of a fleet to w, piece by piece, so that it takes little memory however many
// tenants there are. The tenants that need somebody come first, and those of one state are in the order
// of f. An error is one of w, after which the page isn't complete.
func Write(w io.Writer, f Fleet) error {
	b := bufio.NewWriter(w)
	if err := layout.Execute(b, newView(f)); err != nil {
		return err
	}
	return b.Flush()
}

var (
	//go:embed page.html
	layoutText string
	//go:embed page.css
	styleText string
	//go:embed page.js
	scriptText string

	layout = template.Must(template.New("page").Funcs(template.FuncMap{
		"count":   func(n int) string { return humanize.Comma(int64(n)) },
		"known":   known,
		"version": version,
	}).Parse(layoutText))
)

// view is what the template is given.
type view struct {
	Title     string
	Generated time.Time
	Servers   bool
	Total     int
	States    []stateCount
	Rows      iter.Seq[row]

	Style  template.CSS
	Script template.JS
	// StyleHash and ScriptHash are those of the two above: nothing else may give the page a style or a
	// script, not even a text that got past the template's escaping.
	StyleHash, ScriptHash string
}

// row is a tenant, with what its state means.
type row struct {
	Tenant
	Kind string
}

func newView(f Fleet) view {
	if f.Title == "" {
		f.Title = "Tenants"
	}
	states := countStates(f.Tenants)
	return view{
		Title:      f.Title,
		Generated:  f.Generated.UTC(),
		Servers:    f.Servers,
		Total:      len(f.Tenants),
		States:     states,
		Rows:       rows(f.Tenants, states),
		Style:      template.CSS(styleText),
		Script:     template.JS(scriptText),
		StyleHash:  hash("\n" + styleText),
		ScriptHash: hash("\n" + scriptText),
	}
}

// hash is how a Content-Security-Policy names an inline text, line break after the tag included.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// known is a number of migrations that may not be known.
func known(n int) string {
	if n < 0 {
		return "unknown"
	}
	return strconv.Itoa(n)
}

func version(v int64) string {
	switch {
	case v < 0:
		return "unknown"
	case v == 0:
		return "none"
	}
	return strconv.FormatInt(v, 10)
}
