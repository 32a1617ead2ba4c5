package nativescrape

import (
	"bytes"
	"hash/maphash"
	"regexp"
)

// comments summarises the lines of an exposition that begin with #, including TYPE
// and HELP. Two scrapes with equal sums are assumed to have the same comments.
type comments struct {
	sum   uint64 // not 0, except in the zero value
	count int    // lines
	// plain reports whether each of these lines is a whole comment: none is part of
	// a quoted string, none ends the exposition as a NUL does, and no comment
	// continues on the next line. Only then does the first byte identify a comment.
	plain bool
}

// readComments reads all lines that begin with #. It may report plain comments that
// are not: the caller must compare count with what the parser finds.
func (t *target) readComments(body []byte, contentType string) comments {
	if !t.isPlainText(contentType) && !t.isOpenMetrics(contentType) {
		return comments{sum: 1} // protobuf: known series keep the metadata of their first scrape
	}
	var hash maphash.Hash
	hash.SetSeed(seed)
	c := comments{plain: true}
	for len(body) > 0 {
		end := bytes.IndexByte(body, '\n')
		if end < 0 {
			end = len(body) - 1
		}
		if line := body[:end+1]; line[0] == '#' {
			_, _ = hash.Write(line)
			c.count++
			if bytes.IndexByte(line, '"') >= 0 && unterminatedName.Match(line) {
				c.plain = false
			}
		}
		body = body[end+1:]
	}
	c.sum = hash.Sum64() | 1
	return c
}

// unterminatedName matches a TYPE or HELP line whose quoted name does not end on
// the line.
var unterminatedName = regexp.MustCompile(`^#[ \t]+(?:HELP|TYPE)[ \t]+"(?:\\.|[^\\"])*(?:\\?\n)?$`)

// resumeAt returns what Prometheus' parser must read to continue at a position of
// the body with the metadata declared before it: the lines before the position that
// begin with #, followed by the rest. It overwrites the lines before the position.
func resumeAt(body []byte, at int) []byte {
	n := 0
	for b := body[:at]; len(b) > 0; {
		end := bytes.IndexByte(b, '\n') + 1 // known lines are complete
		if b[0] == '#' {
			n += copy(body[n:], b[:end])
		}
		b = b[end:]
	}
	copy(body[at-n:at], body[:n])
	return body[at-n:]
}
