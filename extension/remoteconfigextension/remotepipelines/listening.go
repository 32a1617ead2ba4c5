package remotepipelines

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
)

// lookEvery is how often the process's sockets are looked at while pipelines
// start: that takes milliseconds on a host with many connections.
const lookEvery = 100 * time.Millisecond

// listensAsPermitted looks at what the process listens on since the pipelines
// named were started, whatever their configurations said.
func (s *switchover) listensAsPermitted(names []string, before confinement.Listeners) error {
	now, err := s.r.listeners()
	if err != nil {
		s.r.host.Logger.Warn("Cannot see what remote pipelines listen on", zap.Strings(PipelineKey, names), zap.Error(err))
		return nil // it was checked by configuration
	}
	more := s.r.set.Rules.New(before, now)
	if len(more) == 0 {
		return nil
	}
	return &Failure{Pipelines: s.listener(names, more), Stage: StageRestrictions, Err: fmt.Errorf(
		"it listens on %s, which is beyond loopback; use 127.0.0.1, or let the administrator permit it with allowed_listen_addresses",
		strings.Join(more, ", "))}
}

// listener returns which of the pipelines has one of the addresses' ports in
// its configuration, or all names if none has.
func (s *switchover) listener(names, addresses []string) []string {
	for _, address := range addresses {
		port, _, _ := strings.Cut(address[strings.LastIndexByte(address, ':')+1:], "/")
		for _, name := range names {
			if s.fresh[name].recipe.usesPort(port) {
				return []string{name}
			}
		}
	}
	return names
}
