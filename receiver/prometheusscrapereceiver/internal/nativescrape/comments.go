package nativescrape

import (
	"bytes"
	"hash/maphash"
	"regexp"
)

// comments is what the lines of an exposition that begin with # amount to,
// TYPE and HELP included. Those of two scrapes with the same sum are taken for
// the same.
type comments struct {
	sum uint64 // 0 is that of no scrape
	n   int
	// plain says that these lines are comments and nothing else: none is inside
	// of a quoted string, none ends the exposition as a NUL does, and no comment
	// goes on in the next line. Only then can they be told by their first byte.
	plain bool
}

// readComments reads all lines that begin with #. Whether they are plain is not
// known for sure until the parser has counted them.
func (t *target) readComments(body []byte, contentType string) comments {
	if !t.isPlainText(contentType) && !t.isOpenMetrics(contentType) {
		return comments{sum: 1} // protobuf: known series keep the metadata of their first scrape
	}
	var sum maphash.Hash
	sum.SetSeed(seed)
	c := comments{plain: true}
	for len(body) > 0 {
		end := bytes.IndexByte(body, '\n')
		if end < 0 {
			end = len(body) - 1
		}
		if line := body[:end+1]; line[0] == '#' {
			_, _ = sum.Write(line)
			c.n++
			if bytes.IndexByte(line, '"') >= 0 && openName.Match(line) {
				c.plain = false
			}
		}
		body = body[end+1:]
	}
	c.sum = sum.Sum64() | 1
	return c
}

// openName matches TYPE and HELP of a quoted name that does not end in the line.
var openName = regexp.MustCompile(`^#[ \t]+(?:HELP|TYPE)[ \t]+"(?:\\.|[^\\"])*(?:\\?\n)?$`)

// handOver returns what Prometheus' parser is to read so that it goes on at a
// position in the body, with all that came before it in its mind: of the lines
// before, those that begin with # and then the rest. It writes over the lines
// before.
func handOver(body []byte, at int) []byte {
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
