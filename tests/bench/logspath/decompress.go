package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"

	"github.com/golang/snappy"
)

// decompressed returns the decompressed body of a request.
func decompressed(r *http.Request) ([]byte, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
		return io.ReadAll(r.Body)
	case "gzip":
		zr, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(zr)
	case "snappy", "x-snappy-framed":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		return snappy.Decode(nil, body)
	default:
		return nil, fmt.Errorf("Content-Encoding %q", encoding)
	}
}
