package remotepipelines

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
)

// lookInterval is the least time between two looks at the process's sockets while
// pipelines start. One takes milliseconds on a host with many connections.
const lookInterval = 100 * time.Millisecond

// checkListeners returns a Failure if the process listens on an address that is not
// permitted and was not in use before. The named pipelines were started meanwhile;
// their configurations may not show the address.
func (s *switchover) checkListeners(names []string, before confinement.Listeners) error {
	now, err := s.r.listeners()
	if err != nil {
		s.r.host.Logger.Warn("Cannot see what remote pipelines listen on", zap.Strings(PipelineKey, names), zap.Error(err))
		return nil // the configuration was checked
	}
	forbidden := s.r.set.Rules.New(before, now)
	if len(forbidden) == 0 {
		return nil
	}
	return &Failure{Pipelines: s.listener(names, forbidden), Stage: StageRestrictions, Err: fmt.Errorf(
		"it listens on %s, which is beyond loopback; use 127.0.0.1, or let the administrator permit it with allowed_listen_addresses",
		strings.Join(forbidden, ", "))}
}

// listener returns the first of the named pipelines with the port of an address in
// its configuration, or all names if none has one.
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
