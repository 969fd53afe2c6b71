package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/gooseplus/gooseplus"
)

// page prints the demo, with colours if it is read on a terminal.
type page struct {
	w       io.Writer
	colours bool
}

const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
)

func newPage(w io.Writer) *page {
	p := &page{w: w}
	if f, ok := w.(*os.File); ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		info, err := f.Stat()
		p.colours = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *page) in(colour, text string) string {
	if !p.colours {
		return text
	}
	return colour + text + "\x1b[0m"
}

func (p *page) heading(text string) { fmt.Fprintf(p.w, "\n%s\n\n", p.in(bold, text)) }

func (p *page) row(name, text string) {
	fmt.Fprintf(p.w, "  %s  %s\n", p.in(dim, fmt.Sprintf("%-9s", name)), text)
}

// compare prints one value of the database, before and after.
func (p *page) compare(name, before, after string) {
	verdict := p.in(green, "✓")
	if after != before {
		verdict = p.in(red, "✗")
	}
	p.row(name, p.in(dim, "before  ")+before)
	p.row("", p.in(dim, "after   ")+after+"  "+verdict)
}

func (p *page) end() { fmt.Fprintln(p.w) }

// event prints each migration that ran. It is an observer of the Migrator.
func (p *page) event(_ context.Context, event gooseplus.Event) {
	finished, ok := event.(gooseplus.MigrationFinished)
	if !ok {
		return
	}
	mark, step := p.in(green, "✓ applied"), finished.Step
	switch {
	case finished.Err != nil:
		mark = p.in(red, "✗ failed ")
	case step.Direction == "down":
		mark = p.in(yellow, "↩ undone ")
	}
	_, name, _ := strings.Cut(strings.TrimSuffix(path.Base(step.Source), ".sql"), "_")
	fmt.Fprintf(p.w, "  %s  %s  %-4s  %s\n", mark, p.in(dim, fmt.Sprint(step.Version)), step.Environment, name)
}
