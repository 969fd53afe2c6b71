package catalog

import (
	"slices"
	"strings"
	"unicode"
)

// sqlWords splits SQL into its words without comments. Words that are not quoted are in lower case, and quotes around a
// name that doesn't need them are taken off. A name with a dot in it is three words.
func sqlWords(text string) (words []string) {
	runes := []rune(text)
	for i := 0; i < len(runes); {
		r := runes[i]
		rest := runes[i:]
		switch {
		case unicode.IsSpace(r):
			i++
		case hasPrefix(rest, "--"):
			i += until(rest, "\n")
		case hasPrefix(rest, "/*"):
			i += until(rest, "*/")
		case r == '\'' || r == '"' || r == '`' || r == '[':
			n := quotedLength(rest)
			words = append(words, unquoted(string(rest[:n])))
			i += n
		case wordRune(r):
			number := unicode.IsDigit(r)
			n := slices.IndexFunc(rest, func(r rune) bool { return !wordRune(r) && !(number && r == '.') })
			if n < 0 {
				n = len(rest)
			}
			words = append(words, strings.ToLower(string(rest[:n])))
			i += n
		default:
			words = append(words, string(r))
			i++
		}
	}
	return words
}

func wordRune(r rune) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

func hasPrefix(runes []rune, prefix string) bool {
	return len(runes) >= len(prefix) && string(runes[:len(prefix)]) == prefix
}

func until(runes []rune, end string) int {
	for i := range runes {
		if hasPrefix(runes[i:], end) {
			return i + len(end)
		}
	}
	return len(runes)
}

// quotedLength is the length of what stands in quotes, in which the closing one is doubled.
func quotedLength(runes []rune) int {
	end := runes[0]
	if end == '[' {
		end = ']'
	}
	for i := 1; i < len(runes); i++ {
		if runes[i] != end {
			continue
		}
		if i+1 < len(runes) && runes[i+1] == end && end != ']' {
			i++
			continue
		}
		return i + 1
	}
	return len(runes)
}

func unquoted(word string) string {
	if word[0] == '\'' || len(word) < 3 {
		return word
	}
	name := word[1 : len(word)-1]
	lower := strings.ToLower(name)
	if strings.ContainsFunc(name, func(r rune) bool { return !wordRune(r) }) || slices.Contains(constraintWords, lower) || slices.Contains(clauseWords, lower) {
		return `"` + name + `"`
	}
	return lower
}
