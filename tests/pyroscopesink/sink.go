// Package pyroscopesink replaces a Pyroscope server, which cannot be built from its
// module. It serves the push API with the generated handlers of Pyroscope's API package,
// and parses profiles with pprof's own library.
package pyroscopesink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/google/pprof/profile"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
)

// Profile is a pushed profile.
type Profile struct {
	Tenant string
	Labels map[string]string
	Pprof  *profile.Profile
	// Size is the size of the pprof message as it was sent, in bytes.
	Size int
	At   time.Time
}

// Sink stores the profiles pushed to it, or passes them to Each. Its methods may be
// called concurrently.
type Sink struct {
	// URL is the base URL to push to.
	URL string
	// Each, if not nil, is called for every profile, which is then not stored.
	Each func(Profile)

	server *http.Server
	mu     sync.Mutex
	kept   []Profile
}

// Start serves on addr until Close. each is the sink's Each and may be nil.
func Start(addr string, each func(Profile)) (*Sink, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Sink{URL: "http://" + l.Addr().String(), Each: each}
	mux := http.NewServeMux()
	mux.Handle(pushv1connect.NewPusherServiceHandler(s))
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(l) }() // ends with Close
	return s, nil
}

// Close stops the server and closes its connections.
func (s *Sink) Close() error { return s.server.Close() }

// Push implements pushv1connect.PusherServiceHandler. It refuses a series that Pyroscope
// would refuse.
func (s *Sink) Push(_ context.Context, req *connect.Request[pushv1.PushRequest]) (*connect.Response[pushv1.PushResponse], error) {
	var got []Profile
	for _, series := range req.Msg.Series {
		labels := map[string]string{}
		for _, l := range series.Labels {
			if _, twice := labels[l.Name]; twice {
				return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("label %s occurs twice", l.Name))
			}
			labels[l.Name] = l.Value
		}
		if labels["__name__"] == "" {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("__name__ is missing"))
		}
		for _, sample := range series.Samples {
			p, err := profile.ParseData(sample.RawProfile)
			if err == nil {
				err = p.CheckValid()
			}
			if err != nil {
				return nil, connect.NewError(connect.CodeInvalidArgument, err)
			}
			got = append(got, Profile{
				Tenant: req.Header().Get("X-Scope-OrgID"), Labels: labels, Pprof: p, Size: len(sample.RawProfile), At: time.Now(),
			})
		}
	}
	if s.Each != nil {
		for _, p := range got {
			s.Each(p)
		}
		return connect.NewResponse(&pushv1.PushResponse{}), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, got...)
	return connect.NewResponse(&pushv1.PushResponse{}), nil
}

// Profiles returns the stored profiles whose labels include labels.
func (s *Sink) Profiles(labels map[string]string) []Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Profile
	for _, p := range s.kept {
		if p.has(labels) {
			found = append(found, p)
		}
	}
	return found
}

func (p Profile) has(labels map[string]string) bool {
	for name, value := range labels {
		if p.Labels[name] != value {
			return false
		}
	}
	return true
}
