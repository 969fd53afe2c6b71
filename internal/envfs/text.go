package envfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Text is a migration that is in no goose file: a pair, or one defined in Go. Each string is executed as one piece,
// whatever is in it.
type Text struct {
	Up, Down      []string
	NoTransaction bool
}

// file makes a goose file of the text. A statement that goose can't read is kept for [Overlay.Spell].
func (o *Overlay) file(t Text) []byte {
	var b bytes.Buffer
	if t.NoTransaction {
		b.WriteString("-- +goose NO TRANSACTION\n")
	}
	for _, section := range []struct {
		name       string
		statements []string
	}{{"Up", t.Up}, {"Down", t.Down}} {
		b.WriteString("-- +goose " + section.name + "\n")
		for _, s := range section.statements {
			o.statement(&b, s)
		}
	}
	return b.Bytes()
}

// Sendable returns what the database gets of each text: nothing if there are only comments, and otherwise Unix lines
// without the lines of comments before the statement, which goose leaves out itself. A carriage return may end such a comment.
func Sendable(quoting sqltext.Quoting, texts ...string) (statements []string) {
	for _, text := range texts {
		text = strings.TrimPrefix(text, bom)
		if !strings.Contains(text, replayMark) && quoting.OnlyComments(text) {
			continue
		}
		text = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\r")
		for text != "" {
			line, rest, _ := strings.Cut(text, "\n")
			if trimmed := strings.TrimSpace(line); trimmed != "" && !(strings.HasPrefix(trimmed, "--") && quoting.OnlyComments(trimmed)) {
				break
			}
			text = rest
		}
		statements = append(statements, strings.TrimSpace(text))
	}
	return statements
}

// statement writes what goose reads as this one statement. If goose would read anything else, the text is kept apart, and
// goose gets a placeholder. That begins with a NUL, so that no database can mistake it for a statement.
func (o *Overlay) statement(b *bytes.Buffer, content string) {
	if !faithful(content) {
		placeholder := fmt.Sprintf("%s%x", placeholderMark, sha256.Sum256([]byte(content)))
		o.kept.Store(placeholder, content)
		content = placeholder
	}
	b.WriteString("-- +goose StatementBegin\n" + content + "\n-- +goose StatementEnd\n")
}

const placeholderMark = "\x00gooseplus text "

// faithful says whether goose reads a text between StatementBegin and StatementEnd as it is. It leaves out comments at the
// beginning, takes lines within a string or a function for its annotations, drops a carriage return at the end of a line,
// and refuses long lines.
func faithful(content string) bool {
	if strings.HasPrefix(content, "--") || strings.Contains(content, "\r\n") || tooLong(content) > 0 {
		return false
	}
	if strings.Contains(content, "+goose") {
		for line := range strings.Lines(content) {
			if annotates(line, "+goose") {
				return false
			}
		}
	}
	return true
}

// longestLine is the length of the longest line that goose reads, line break included.
const longestLine = 4 << 20

// tooLong is the number of the first line that is too long for goose, 0 if none is.
func tooLong(content string) (line int) {
	if len(content) < longestLine {
		return 0
	}
	for s := range strings.Lines(content) {
		if line++; len(s) > longestLine || len(s) == longestLine && !strings.HasSuffix(s, "\n") {
			return line
		}
	}
	return 0
}

// Spells says whether a placeholder was given to goose.
func (o *Overlay) Spells() (some bool) {
	o.kept.Range(func(_, _ any) bool { some = true; return false })
	return some
}

// Spell is a statement that goose was given, as it is to be executed.
func (o *Overlay) Spell(statement string) string {
	if text, ok := o.kept.Load(statement); ok {
		return text.(string)
	}
	return statement
}

// annotates says whether goose would take the line for one of its annotations, a wrong one included.
func annotates(line, tool string) bool {
	return strings.HasPrefix(strings.TrimSpace(line), "--") && strings.Contains(line, tool)
}

// Add gives the overlay a migration that is in no file of its folders. text is called when the migration is read. Whoever
// makes the overlay calls Add before anybody else has it.
func (o *Overlay) Add(version int64, text func() (Text, error)) {
	if o.made == nil {
		o.made = make(map[int64]func() ([]byte, error))
	}
	o.made[version] = func() ([]byte, error) {
		t, err := text()
		return o.file(t), err
	}
}

// All reads all files, and returns their texts by version.
func (o *Overlay) All() (map[int64]string, error) {
	texts := make(map[int64]string)
	for _, f := range o.byName() {
		text, err := o.read(f)
		if err != nil && f.Path != "" {
			err = fmt.Errorf("%s: %w", f.Path, err)
		}
		if err != nil {
			return nil, err
		}
		texts[f.Version] = string(text)
	}
	return texts, nil
}

// Texts is an overlay of nothing but the given migrations, by version. Its placeholders are known at once: goose may read it
// when a connection is open already.
func Texts(texts map[int64]Text) *Overlay {
	o := newOverlay(nil)
	for version, t := range texts {
		o.Add(version, func() (Text, error) { return t, nil })
		o.file(t)
	}
	return o
}
