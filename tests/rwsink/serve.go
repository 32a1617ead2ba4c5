package rwsink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

type version int

const (
	v1 version = iota + 1
	v2
)

// work is the memory for handling one request.
type work struct {
	wire bytes.Buffer
	body []byte
	req  request
}

func (s *Sink) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n, script := s.next, s.script
	s.next++
	s.mu.Unlock()

	v, status, err := check(r)
	if err != nil {
		s.malformed(n, err)
		http.Error(w, err.Error(), status)
		return
	}
	if v == v2 && s.opts.OnlyV1 {
		s.refuse(w, v, Answer{Status: http.StatusUnsupportedMediaType, Text: "only 1.0 is supported"}, Tally{})
		return
	}
	var a Answer
	if script != nil {
		a = script(n, r)
	}
	var body io.Reader = r.Body
	if a.BytesPerSecond > 0 {
		body = newSlowReader(body, a.BytesPerSecond)
	}
	if a.Cut && !a.Taken {
		_, _ = io.CopyN(io.Discard, body, int64(a.CutAfter))
		s.broken()
		closeConnection(w)
		return
	}
	k := s.works.Get().(*work)
	defer s.works.Put(k)
	k.wire.Reset()
	if _, err := k.wire.ReadFrom(body); err != nil {
		s.broken()
		return
	}
	s.answer(w, r, n, v, a, k)
}

// answer responds to a request whose body was read.
func (s *Sink) answer(w http.ResponseWriter, r *http.Request, n int, v version, a Answer, k *work) {
	var t Tally
	store := func() bool {
		var poisoned string
		var err error
		if t, poisoned, err = s.read(v, k); err != nil {
			s.malformed(n, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return false
		}
		if poisoned != "" {
			s.refuse(w, v, Answer{Status: http.StatusBadRequest, Text: "series " + poisoned + " is not wanted"}, Tally{})
			return false
		}
		s.keep(v, t, &k.req)
		return true
	}
	if a.Taken && !store() {
		return
	}
	if a.Delay > 0 && !s.hold(r, a.Delay) {
		s.broken()
		closeConnection(w)
		return
	}
	switch {
	case a.Cut:
		s.broken()
		closeConnection(w)
	case a.Status != 0:
		s.refuse(w, v, a, t)
	case a.Taken || store():
		written(w, v, t)
		maps.Copy(w.Header(), a.Header)
		w.WriteHeader(http.StatusNoContent)
	}
}

// read decodes as much of a body as the options need. It returns an error that names the
// series if one is poisoned.
func (s *Sink) read(v version, k *work) (t Tally, poisoned string, err error) {
	if k.body, err = decompress(k.body, k.wire.Bytes(), s.opts.MaxBody); err != nil {
		return t, "", err
	}
	if s.opts.Keep == KeepCounts && s.opts.Poison == nil {
		t, err = count(v, k.body)
	} else if err = k.req.decode(v, k.body); err == nil {
		t, poisoned = k.req.tally(), s.poisoned(&k.req)
	}
	t.Requests, t.WireBytes, t.BodyBytes = 1, int64(k.wire.Len()), int64(len(k.body))
	return t, poisoned, err
}

func (s *Sink) poisoned(r *request) string {
	if s.opts.Poison == nil {
		return ""
	}
	for i := range r.series {
		if ls := r.series[i].export(); s.opts.Poison(ls) {
			return ls.String()
		}
	}
	return ""
}

// refuse responds with a status other than 204. t is what was stored nevertheless.
func (s *Sink) refuse(w http.ResponseWriter, v version, a Answer, t Tally) {
	s.refused()
	written(w, v, t)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.Text)
}

// written sets the response headers in which 2.0 reports what was written.
func written(w http.ResponseWriter, v version, t Tally) {
	if v != v2 {
		return
	}
	for name, n := range map[string]int64{"Samples": t.Samples, "Histograms": t.Histograms, "Exemplars": t.Exemplars} {
		w.Header().Set("X-Prometheus-Remote-Write-"+name+"-Written", strconv.FormatInt(n, 10))
	}
}

const (
	headerVersion = "X-Prometheus-Remote-Write-Version"
	mediaType     = "application/x-protobuf"
	messageV1     = "prometheus.WriteRequest"
	messageV2     = "io.prometheus.write.v2.Request"
)

// check checks all headers that the specifications require, and returns the status for a
// request that violates them.
func check(r *http.Request) (v version, status int, err error) {
	if r.Method != http.MethodPost {
		return 0, http.StatusMethodNotAllowed, fmt.Errorf("method is %s, want POST", r.Method)
	}
	if got := r.Header.Get("Content-Encoding"); got != "snappy" {
		return 0, http.StatusUnsupportedMediaType, fmt.Errorf("Content-Encoding is %q, want snappy", got)
	}
	contentType := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != mediaType {
		return 0, http.StatusUnsupportedMediaType, fmt.Errorf("Content-Type is %q, want %s", contentType, mediaType)
	}
	var prefix string // of the version header
	switch proto, ok := params["proto"]; {
	case !ok, proto == messageV1:
		v, prefix = v1, "0.1."
	case proto == messageV2:
		v, prefix = v2, "2.0."
	default:
		return 0, http.StatusUnsupportedMediaType, fmt.Errorf("message is %q, want %s or %s", proto, messageV1, messageV2)
	}
	if got := r.Header.Get(headerVersion); !strings.HasPrefix(got, prefix) {
		return 0, http.StatusBadRequest, fmt.Errorf("%s is %q, want %sx", headerVersion, got, prefix)
	}
	if r.UserAgent() == "" {
		return 0, http.StatusBadRequest, errors.New("User-Agent is missing")
	}
	return v, 0, nil
}
