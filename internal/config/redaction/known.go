package redaction

import (
	"slices"
	"strings"
)

const (
	// Secrets shorter than minLength are not searched for in texts. Secrets
	// shorter than wordLength are found as whole words only, as they may be part
	// of ordinary words.
	minLength  = 4
	wordLength = 8
	// maxAlike bounds the secrets with the same first bytes, each of which is
	// compared at every match of these bytes. If there are more, every word with
	// these first bytes is hidden.
	maxAlike = 64
)

// known is an index of secrets by their first bytes, longest first. The cost of a
// search does not grow with the number of secrets.
type known map[[minLength]byte][]string

// add adds a secret of at least minLength bytes.
func (k known) add(secret string) {
	begin := [minLength]byte([]byte(secret[:minLength]))
	alike := k[begin]
	if len(alike) > maxAlike {
		return
	}
	i, is := slices.BinarySearchFunc(alike, secret, longer)
	if !is {
		k[begin] = slices.Insert(alike, i, secret)
	}
}

// longer orders texts by length, the longest first.
func longer(a, b string) int {
	if len(a) != len(b) {
		return len(b) - len(a)
	}
	return strings.Compare(a, b)
}

// hide returns text with all secrets masked.
func (k known) hide(text string) string {
	var b strings.Builder
	done := 0 // text[:done] is in b
	for i := 0; len(k) > 0 && i+minLength <= len(text); {
		end := k.match(text, i)
		if end < 0 {
			i++
			continue
		}
		b.WriteString(text[done:i])
		b.WriteString(Mask)
		i, done = end, end
	}
	if done == 0 {
		return text
	}
	b.WriteString(text[done:])
	return b.String()
}

// match returns the end of the secret that begins at i, or -1 if there is none.
func (k known) match(text string, i int) int {
	alike := k[[minLength]byte([]byte(text[i:i+minLength]))]
	if len(alike) > maxAlike {
		if end := strings.IndexAny(text[i:], " \t\r\n"); end >= 0 {
			return i + end
		}
		return len(text)
	}
	for _, secret := range alike {
		end := i + len(secret)
		if !strings.HasPrefix(text[i:], secret) {
			continue
		}
		if len(secret) >= wordLength || (i == 0 || !isWord(text[i-1])) && (end == len(text) || !isWord(text[end])) {
			return end
		}
	}
	return -1
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
