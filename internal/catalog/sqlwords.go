package catalog

import (
	"regexp"
	"slices"
	"strings"
)

// sqlToken is a comment, a text or a name in quotes (a quote within is doubled), a number, a word, or another character.
// A quote or a comment that is not closed goes on to the end.
var sqlToken = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?(?:\*/|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|` + "`(?:[^`]|``)*(?:`|$)" +
	`|\[[^\]]*(?:\]|$)|\p{Nd}[\p{L}\p{Nd}_$.]*|[\p{L}\p{Nd}_$]+|\S`)

var plainWord = regexp.MustCompile(`^[\p{L}\p{Nd}_$]*$`)

// sqlWords splits SQL into its words without comments. Words that are not quoted are in lower case, and quotes around a
// name that doesn't need them are taken off. A name with a dot in it is three words.
func sqlWords(text string) (words []string) {
	for _, w := range sqlToken.FindAllString(text, -1) {
		switch {
		case strings.HasPrefix(w, "--"), strings.HasPrefix(w, "/*"):
			continue
		case w[0] == '"' || w[0] == '`' || w[0] == '[':
			w = unquoted(w)
		case w[0] != '\'':
			w = strings.ToLower(w)
		}
		words = append(words, w)
	}
	return words
}

func unquoted(word string) string {
	if len(word) < 3 {
		return word
	}
	name := word[1 : len(word)-1]
	lower := strings.ToLower(name)
	if !plainWord.MatchString(name) || slices.Contains(constraintWords, lower) || slices.Contains(clauseWords, lower) {
		return `"` + name + `"`
	}
	return lower
}
