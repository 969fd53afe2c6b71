package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// printer writes what a command has to say: results to the standard output, everything else to the
// standard error.
type printer struct {
	words
	mu                    sync.Mutex // observers print too
	out, err              io.Writer
	json                  bool
	html                  bool
	silent                bool // print no results: quiet, and the command isn't read-only
	quiet, verbose        bool
	terminal, errTerminal bool
	colour, errColour     bool
	foot                  foot  // guarded by mu
	lost                  error // guarded by mu; why a result could not be written
}

// foot is what stands at the foot of a terminal. It has to be cleared before anything is written.
type foot interface{ clear() }

func newPrinter(cmd *cobra.Command, flags sharedFlags) *printer {
	p := &printer{words: words{program: program(cmd)}, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), quiet: flags.quiet, verbose: flags.verbose && !flags.quiet}
	p.silent = p.quiet && cmd.Annotations[looksAnnotation] == ""
	p.terminal, p.errTerminal = isTerminal(p.out), isTerminal(p.err)
	plain := flags.noColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
	p.colour, p.errColour = p.terminal && !plain, p.errTerminal && !plain
	return p
}

func isTerminal(w any) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// format takes the value of --output.
func (p *printer) format(output string, cmd *cobra.Command) error {
	switch output {
	case "text":
	case "json":
		p.json = true
	case "html":
		if cmd.Annotations[htmlAnnotation] == "" {
			return usagef("--output html works with tenants status only, not with %s", cmd.Name())
		}
		p.html = true
	default:
		return usagef("--output %s: use text, json or html", strconv.Quote(output))
	}
	return nil
}

const htmlAnnotation = "html"

// text says whether results are for people.
func (p *printer) text() bool { return !p.json && !p.html }

type colour string

const (
	plain  colour = ""
	red    colour = "\x1b[31m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"
	bold   colour = "\x1b[1m"
	reset         = "\x1b[0m"
)

func paint(on bool, c colour, s string) string {
	if !on || c == plain || s == "" {
		return s
	}
	return string(c) + s + reset
}

// line writes a line of the result, unless it is not for people.
func (p *printer) line(format string, args ...any) {
	if p.text() && !p.silent {
		p.result(fmt.Sprintf(format, args...) + "\n")
	}
}

// note writes a line for the person who waits.
func (p *printer) note(format string, args ...any) {
	if !p.quiet {
		_ = p.write(p.err, fmt.Sprintf(format, args...)+"\n")
	}
}

// detail is a note for a person who wants to know everything.
func (p *printer) detail(format string, args ...any) {
	if p.verbose {
		p.note(format, args...)
	}
}

// result writes a part of the result.
func (p *printer) result(s string) {
	err := p.write(p.out, s)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost == nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, io.ErrClosedPipe) {
		p.lost = err
	}
}

// write returns why nobody can read it, which must not end a run.
func (p *printer) write(w io.Writer, s string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.foot != nil {
		p.foot.clear()
	}
	_, err := io.WriteString(w, s)
	return err
}

// unwritten is the error of results that could not be written. Whoever has closed the pipe doesn't miss them.
func (p *printer) unwritten() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost == nil {
		return nil
	}
	return fmt.Errorf("the output could not be written: %w", p.lost)
}

// fail writes an error.
func (p *printer) fail(err error, ways ...way) {
	var b strings.Builder
	head := paint(p.errColour, red, "error:")
	var incomplete *gooseplus.RollbackError
	var several *gooseplus.TenantsError
	list := p.sentences(err)
	switch {
	case errors.As(err, &incomplete) && !errors.As(err, &several):
		if incomplete.Reached == incomplete.Start {
			fmt.Fprintf(&b, "%s %s: the highest version is %d as before, and not everything is undone\n", head, gooseplus.ErrRollBack, incomplete.Start)
		} else {
			fmt.Fprintf(&b, "%s %s: it was at %s, and is at %s\n", head, gooseplus.ErrRollBack, at(incomplete.Start), at(incomplete.Reached))
		}
		fmt.Fprintf(&b, "the run failed with: %s\n", p.sentence(incomplete.Cause))
		statement(&b, incomplete.Cause)
		fmt.Fprintf(&b, "the run could not be undone: %s\n", besides(ways, p.sentence(incomplete.Err)))
		statement(&b, incomplete.Err)
	default:
		for _, s := range list {
			fmt.Fprintf(&b, "%s %s\n", head, besides(ways, s))
		}
		if len(list) == 1 {
			statement(&b, err)
		}
	}
	for _, refusal := range refusals[:3] {
		if errors.Is(err, refusal) && ExitCode(err) == exitRefused {
			fmt.Fprintln(&b, "Nothing was touched.")
		}
	}
	b.WriteString(waysText(ways))
	_ = p.write(p.err, b.String())
}

// statementLines is how much of a failed statement people get to see.
const statementLines = 20

// statement writes the SQL statement that failed, if there is one.
func statement(b *strings.Builder, err error) {
	var migration *gooseplus.MigrationError
	if !errors.As(err, &migration) || strings.TrimSpace(migration.Statement) == "" {
		return
	}
	lines := strings.Split(strings.TrimSpace(redact.Text(migration.Statement)), "\n")
	for i, l := range lines {
		if i == statementLines {
			fmt.Fprintf(b, "    … and %d more lines\n", len(lines)-i)
			break
		}
		fmt.Fprintf(b, "    %s\n", clean(strings.TrimSuffix(l, "\r")))
	}
}

// document is the JSON of every command.
type document struct {
	Command  string   `json:"command"`
	Outcome  string   `json:"outcome"`
	ExitCode int      `json:"exit_code"`
	Data     any      `json:"data,omitempty"`
	Error    *failure `json:"error,omitempty"`
}

// failure is an error as data.
type failure struct {
	Message     string   `json:"message"`
	Faults      []string `json:"faults,omitempty"`
	Tenant      string   `json:"tenant,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	Environment string   `json:"environment,omitempty"`
	Version     int64    `json:"version,omitempty"`
	Source      string   `json:"source,omitempty"`
	Direction   string   `json:"direction,omitempty"`
	Line        int      `json:"line,omitempty"`
	Detail      string   `json:"detail,omitempty"`
	Hint        string   `json:"hint,omitempty"`
	Statement   string   `json:"statement,omitempty"`
	Commands    []string `json:"commands,omitempty"`
}

func (w words) failure(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Message: w.sentence(err)}
	if faults := w.sentences(err); len(faults) > 1 {
		f.Faults = faults
	}
	var migration *gooseplus.MigrationError
	var tenants *gooseplus.TenantsError
	if errors.As(err, &migration) && !errors.As(err, &tenants) {
		f.Tenant, f.Namespace, f.Environment = redact.Text(migration.Tenant), migration.Namespace, migration.Environment
		f.Version, f.Source, f.Direction = migration.Version, migration.Source, migration.Direction
		f.Line, f.Detail, f.Hint = migration.Line, redact.Text(migration.Detail), redact.Text(migration.Hint)
		f.Statement = redact.Text(migration.Statement)
	}
	return f
}

func (p *printer) document(command string, data any, err error, ways ...way) {
	d := document{Command: command, ExitCode: ExitCode(err), Data: data, Error: p.failure(err)}
	d.Outcome = outcomes[d.ExitCode].word
	for _, w := range ways {
		d.Error.Commands = append(d.Error.Commands, w.command)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		_ = p.write(p.err, fmt.Sprintf("error: %s\n", p.sentence(err)))
		return
	}
	p.result(b.String())
}

// cell is a field of a table.
type cell struct {
	text   string
	colour colour
}

func cells(texts ...string) []cell {
	row := make([]cell, len(texts))
	for i, t := range texts {
		row[i] = cell{text: t}
	}
	return row
}

// table writes rows with aligned columns, the first in bold.
func (p *printer) table(rows [][]cell) {
	if !p.text() || p.silent {
		return
	}
	var widths []int
	for _, row := range rows {
		for i := range row {
			row[i].text = clean(row[i].text)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		last := len(row) - 1
		for last > 0 && row[last].text == "" {
			last--
		}
		for i, c := range row[:last+1] {
			if n == 0 {
				c.colour = bold
			}
			b.WriteString(paint(p.colour, c.colour, c.text))
			if i < last {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		b.WriteByte('\n')
	}
	p.result(b.String())
}

// clean makes what comes from elsewhere, a tenant's name or a server's message, harmless to a terminal.
func clean(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !printable(r) }) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if printable(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

func printable(r rune) bool { return r == '\t' || unicode.IsPrint(r) }
