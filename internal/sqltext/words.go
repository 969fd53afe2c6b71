package sqltext

import "strings"

// words are words of SQL. Statements can have megabytes, in which a regular expression would search for seconds.
type words struct {
	list  map[string]bool // in lower case
	first [256]bool       // the bytes that they begin with
}

func wordsOf(list string) *words {
	w := &words{list: make(map[string]bool)}
	for _, word := range strings.Fields(list) {
		w.list[word] = true
		w.first[word[0]], w.first[word[0]&^' '] = true, true
	}
	return w
}

// in says whether one of the words stands in a text, in upper or lower case.
func (w *words) in(text string) bool {
	for at := 0; at < len(text); {
		n := wordLength(text[at:])
		if w.has(text[at : at+n]) {
			return true
		}
		at += n + 1
	}
	return false
}

func (w *words) has(word string) bool {
	var lower [40]byte // none of the words is longer
	if len(word) == 0 || len(word) > len(lower) || !w.first[word[0]] {
		return false
	}
	for i := range len(word) {
		c := word[i]
		if 'A' <= c && c <= 'Z' {
			c |= ' '
		}
		lower[i] = c
	}
	return w.list[string(lower[:len(word)])]
}

// firstWord is the word that a text begins with, "" if it begins with something else.
func firstWord(text string) string { return text[:wordLength(text)] }

// wordLength is the number of letters, digits and underscores that a text begins with.
func wordLength(text string) int {
	n := 0
	for n < len(text) && inWord[text[n]] {
		n++
	}
	return n
}

var inWord = func() (in [256]bool) {
	for c := range in {
		in[c] = c|' ' >= 'a' && c|' ' <= 'z' || c >= '0' && c <= '9' || c == '_'
	}
	return in
}()
