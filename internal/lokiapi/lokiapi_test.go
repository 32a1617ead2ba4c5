package lokiapi

import (
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func unlimited() *Budget { return NewBudget(1 << 40) }

var request = []push.Stream{
	{Labels: `{app="a", env="b\"c"}`, Entries: []push.Entry{
		{Timestamp: time.Unix(0, 1_700_000_000_123_456_789), Line: "first\nline", StructuredMetadata: push.LabelsAdapter{{Name: "trace_id", Value: "0102"}, {Name: "user", Value: "x"}}},
		{Timestamp: time.Unix(1_700_000_001, 0)},
		{Timestamp: time.Unix(0, -5), Line: "before 1970"},
		{Timestamp: time.Unix(0, 0), Line: strings.Repeat("long ", 1000)},
	}},
	{Labels: `{app="b"}`},
}

// TestProtobuf compares the encoding with that of Loki's own code.
func TestProtobuf(t *testing.T) {
	var enc Encoder
	for range 2 {
		plain, err := s2.Decode(nil, enc.Protobuf(request))
		require.NoError(t, err)
		want, err := (&push.PushRequest{Streams: request}).Marshal()
		require.NoError(t, err)
		require.Equal(t, want, plain)
	}
	r, err := DecodeSnappy(enc.Protobuf(request), 1<<20, unlimited())
	require.NoError(t, err)
	require.Equal(t, request[0].Entries[0].StructuredMetadata, r.Streams[0].Entries[0].StructuredMetadata)
	_, err = DecodeSnappy(enc.Protobuf(request), 100, unlimited())
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = DecodeSnappy([]byte("\xff"), 100, unlimited())
	require.ErrorContains(t, err, "not a snappy block")
	_, err = DecodeSnappy(s2.EncodeSnappy(nil, []byte("no protobuf")), 100, unlimited())
	require.ErrorContains(t, err, "not a push request")
}

func TestJSON(t *testing.T) {
	body, err := JSON(request[:1])
	require.NoError(t, err)
	require.Contains(t, string(body), `{"streams":[{"stream":{"app":"a","env":"b\"c"},"values":[["1700000000123456789","first\nline",{"trace_id":"0102","user":"x"}],["1700000001000000000",""]`)
	r, err := DecodeJSON(body, unlimited())
	require.NoError(t, err)
	require.Equal(t, request[0].Labels, r.Streams[0].Labels)
	for i, e := range request[0].Entries {
		require.True(t, e.Timestamp.Equal(r.Streams[0].Entries[i].Timestamp))
		require.Equal(t, e.Line, r.Streams[0].Entries[i].Line)
		require.Equal(t, e.StructuredMetadata, r.Streams[0].Entries[i].StructuredMetadata)
	}
}

func TestLabels(t *testing.T) {
	f := func(attribute, want string) {
		t.Helper()
		require.Equal(t, want, LabelName(attribute))
		require.True(t, ValidLabelName(want))
	}
	f("service.name", "service_name")
	f("a/b-c d", "a_b_c_d")
	f("a__b", "a__b")
	f("1st", "key_1st")
	f("", "key")
	f("é", "key")
	f("k\xffey", "k_ey")

	require.Equal(t, `{a="b?c?", d="é"}`, string(AppendLabels(nil, []Label{{"a", "b\xffc\uFFFD"}, {"d", "é"}})))

	_, err := ParseLabels(`{a="b", a="c"}`)
	require.ErrorContains(t, err, "duplicate label name")
	_, err = ParseLabels(`{a=b}`)
	require.ErrorContains(t, err, "couldn't parse labels")
	_, err = ParseLabels(`{a="` + strings.Repeat("x", 70<<10) + `"}`)
	require.ErrorContains(t, err, "exceed the limit")
}

// FuzzLabels writes labels and reads them back.
func FuzzLabels(f *testing.F) {
	f.Add("service.name", "a\"\\\n\x00é\u2028")
	f.Fuzz(func(t *testing.T, attribute, value string) {
		name := LabelName(attribute)
		require.True(t, ValidLabelName(name), "%q", name)
		value = labelValue(value)
		text := string(AppendLabels(nil, []Label{{name, value}}))
		if len(text) > maxLabelsSize {
			return
		}
		ls, err := ParseLabels(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, value, ls.Get(name))
	})
}

// FuzzDecode decodes arbitrary bodies. Encoding and decoding a request once more
// must not change it.
func FuzzDecode(f *testing.F) {
	var enc Encoder
	f.Add(enc.Protobuf(request))
	body, err := JSON(request[:1])
	require.NoError(f, err)
	f.Add(body)
	f.Add([]byte(`{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2026-01-02T03:04:05Z","line":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func() (*push.PushRequest, error){
			func() (*push.PushRequest, error) { return DecodeSnappy(body, 1<<20, unlimited()) },
			func() (*push.PushRequest, error) { return DecodeJSON(body, unlimited()) },
		} {
			r, err := decode()
			if err != nil {
				continue
			}
			for _, s := range r.Streams {
				_, _ = ParseLabels(s.Labels) // may be refused, must not panic
			}
			var enc Encoder
			again, err := DecodeSnappy(enc.Protobuf(r.Streams), 64<<20, unlimited())
			require.NoError(t, err)
			require.Len(t, again.Streams, len(r.Streams))
		}
	})
}
