package opamptransport

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// Settings configures a Transport. The functions are called from one goroutine, and not
// after Shutdown has returned. They must not block, and may be nil.
type Settings struct {
	Config    *Config
	Identity  transport.Identity
	Telemetry component.TelemetrySettings
	// InstanceUID is the uid of an earlier call of NewInstanceUID. If it is "", the
	// uid is Identity.ID, or is derived from it if that is not a UUID.
	InstanceUID string
	// NewInstanceUID is called with the UUID that the server assigns to this
	// collector, to be kept.
	NewInstanceUID func(uid string)
	// Restart starts a restart of the collector, which shuts the Transport down; it
	// must not wait for that. If it is nil, or Config.AcceptRestartCommand is not
	// set, the capability is not announced and the command is ignored.
	Restart func()
	// Asked is called after each exchange with a server, with nil or the reason why
	// there is no configuration.
	Asked func(err error)
}

const (
	// maxAnswer bounds an answer in bytes, compressed or not: a configuration and the
	// rest of the message.
	maxAnswer = remoteconf.MaxSize + 1<<20
	// minGap is the least time between two messages. It merges changes, and limits
	// answers to a server that asks continuously to ten per second.
	minGap = 100 * time.Millisecond
	// retryFirst and retryMost bound the pause after all servers have failed.
	retryFirst = time.Second
	retryMost  = 2 * time.Minute
	// maxRetryAfter bounds the pause that a server may ask for.
	maxRetryAfter = time.Hour
	// steady is how long a server must work for the pauses to start over.
	steady = time.Minute
	// returnAfter is how long another server is used before the first is tried
	// again.
	returnAfter = 10 * time.Minute
	// farewellTime bounds the last exchange with a server.
	farewellTime = 5 * time.Second
)

// Transport implements transport.Transport over OpAMP.
type Transport struct {
	set      Settings
	logger   *zap.Logger
	agent    *agent
	servers  []*url.URL
	client   *httpClient
	dialer   *dialer
	interval atomic.Int64 // of heartbeats or polls, as set by the server; 0 for the configured one

	mu      sync.Mutex
	started bool
	// leave starts a graceful end, abort ends it at once.
	leave, abort context.CancelFunc
	done         chan struct{}

	// The rest belongs to the goroutine of run.
	offered  func(transport.Offer)
	lastHash string
	anyOffer bool
	trouble  string // the last failure that was logged
	refused  bool   // a restart was refused and logged
}

var _ transport.Transport = (*Transport)(nil)

// New returns a Transport. It connects to nothing before Start.
func New(set Settings) (*Transport, error) {
	servers, err := set.Config.servers()
	if err != nil {
		return nil, err
	}
	if !set.Config.AcceptRestartCommand {
		set.Restart = nil
	}
	return &Transport{
		set: set, logger: set.Telemetry.Logger, servers: servers,
		agent: newAgent(set.Identity, instanceUID(set.InstanceUID, set.Identity.ID), set.Restart != nil),
		done:  make(chan struct{}),
	}, nil
}

// Start implements transport.Transport.
func (t *Transport) Start(ctx context.Context, host component.Host, offered func(transport.Offer)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started {
		return errors.New("started already")
	}
	var err error
	if t.dialer, err = newDialer(ctx, t.set.Config, host); err != nil {
		return err
	}
	if t.client, err = newHTTPClient(ctx, t.set.Config, host, t.set.Telemetry); err != nil {
		return err
	}
	t.begin(offered)
	return nil
}

// begin starts the goroutine. The clients must have been made. The caller holds mu.
func (t *Transport) begin(offered func(transport.Offer)) {
	t.offered = offered
	life, abort := context.WithCancel(context.Background())
	stay, leave := context.WithCancel(life)
	t.started, t.leave, t.abort = true, leave, abort
	go t.run(life, stay)
}

// Report implements transport.Transport.
func (t *Transport) Report(r transport.Report) { t.agent.report(r) }

// Shutdown implements transport.Transport.
func (t *Transport) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.started {
		return nil
	}
	t.leave()
	defer t.abort()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		t.abort()
		<-t.done
		return fmt.Errorf("take leave of the OpAMP server: %w", ctx.Err())
	}
}

// run talks to one server at a time until stay ends. The last exchange with a server
// may last until the end of life.
func (t *Transport) run(life, stay context.Context) {
	defer close(t.done)
	defer t.client.close()
	pause := &backoff.ExponentialBackOff{
		InitialInterval: retryFirst, MaxInterval: retryMost, Multiplier: 2, RandomizationFactor: 0.5,
	}
	pause.Reset()
	var hold time.Duration // the longest pause that a server of this round asked for
	for i := 0; stay.Err() == nil; {
		began := time.Now()
		err := t.talk(life, stay, i)
		if stay.Err() != nil {
			return
		}
		if errors.Is(err, errReturn) {
			i = 0
			continue
		}
		t.failed(t.servers[i], err)
		var busy *busyError
		if errors.As(err, &busy) {
			hold = max(hold, busy.after)
		}
		if time.Since(began) >= steady {
			pause.Reset()
			i = 0
		} else if i = (i + 1) % len(t.servers); i != 0 {
			continue
		}
		sleep(stay, max(pause.NextBackOff(), hold))
		hold = 0
	}
}

// talk exchanges messages with a server until it fails or stay ends.
func (t *Transport) talk(life, stay context.Context, server int) error {
	t.agent.lost() // this server has no state
	if server > 0 {
		var cancel context.CancelFunc
		stay, cancel = context.WithTimeoutCause(stay, returnAfter, errReturn)
		defer cancel()
	}
	u := t.servers[server]
	talk := t.poll
	if isWebSocket(u) {
		talk = t.stream
	}
	err := talk(life, stay, u)
	if errors.Is(context.Cause(stay), errReturn) {
		return errReturn
	}
	return err
}

// errReturn ends the exchange with a server other than the first.
var errReturn = errors.New("try the first server again")

// busyError is the answer of a server that asks for a pause.
type busyError struct {
	after time.Duration // the pause; 0 if it does not say
	err   error
}

func (e *busyError) Error() string { return e.err.Error() }
func (e *busyError) Unwrap() error { return e.err }

func busy(after time.Duration, err error) error {
	return &busyError{after: min(max(after, 0), maxRetryAfter), err: err}
}

// failed reports a failure, and logs each new reason once as a warning.
func (t *Transport) failed(u *url.URL, err error) {
	err = fmt.Errorf("ask %s: %w", u.Redacted(), err)
	log := t.logger.Debug
	if trouble := err.Error(); trouble != t.trouble {
		t.trouble = trouble
		log = t.logger.Warn
	}
	log("The OpAMP server cannot be asked for a configuration; what runs goes on, and it is asked again", zap.Error(err))
	t.tell(err)
}

func (t *Transport) succeeded(u *url.URL) {
	if t.trouble != "" {
		t.trouble = ""
		t.logger.Info("The OpAMP server answers again", zap.String("endpoint", u.Redacted()))
	}
	t.tell(nil)
}

func (t *Transport) tell(err error) {
	if t.set.Asked != nil {
		t.set.Asked(err)
	}
}

// handle handles a message of the server. An error ends the connection.
func (t *Transport) handle(u *url.URL, m *protobufs.ServerToAgent) error {
	if !t.agent.isFor(m.InstanceUid) {
		t.logger.Debug("Ignored a message to another agent", zap.Binary("instance_uid", m.InstanceUid))
		return nil
	}
	if refused := m.ErrorResponse; refused != nil {
		err := fmt.Errorf("the server answered %s: %s", refused.Type, clip(refused.ErrorMessage))
		if refused.Type == protobufs.ServerErrorResponseType_ServerErrorResponseType_Unavailable {
			nanos := refused.GetRetryInfo().GetRetryAfterNanoseconds()
			return busy(time.Duration(min(nanos, uint64(maxRetryAfter))), err)
		}
		t.failed(u, err)
		return nil
	}
	t.succeeded(u)
	if m.Command != nil {
		// A message with a command has nothing else (specification).
		t.command(u, m.Command.Type)
		return nil
	}
	flag := func(f protobufs.ServerToAgentFlags) bool { return m.Flags&uint64(f) != 0 }
	t.agent.asked(
		flag(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState),
		flag(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportAvailableComponents),
	)
	if given := m.AgentIdentification.GetNewInstanceUid(); len(given) > 0 {
		if uid, err := uuid.FromBytes(given); err != nil || uid == uuid.Nil {
			t.logger.Warn("The OpAMP server gives an instance uid that is not 16 bytes; the old one is kept", zap.Int("bytes", len(given)))
		} else if t.agent.rename(uid) {
			t.logger.Info("The OpAMP server gives a new instance uid", zap.Stringer("instance_uid", uid))
			if t.set.NewInstanceUID != nil {
				t.set.NewInstanceUID(uid.String())
			}
		}
	}
	if seconds := m.ConnectionSettings.GetOpamp().GetHeartbeatIntervalSeconds(); seconds > 0 {
		t.interval.Store(int64(min(seconds, uint64(maxInterval/time.Second)) * uint64(time.Second)))
	}
	if o, ok := offer(m.RemoteConfig); ok && (!t.anyOffer || o.Hash != t.lastHash) {
		t.anyOffer, t.lastHash = true, o.Hash
		t.offered(o)
	}
	return nil
}

// command executes a command of the server if that is accepted. It logs the first refused
// command as a warning; a server may repeat it endlessly.
func (t *Transport) command(u *url.URL, what protobufs.CommandType) {
	if what == protobufs.CommandType_CommandType_Restart && t.set.Restart != nil {
		t.logger.Info("The OpAMP server commands a restart", zap.String("endpoint", u.Redacted()))
		t.set.Restart()
		return
	}
	log := t.logger.Debug
	if !t.refused {
		t.refused = true
		log = t.logger.Warn
	}
	log("A command of the OpAMP server is ignored; a restart needs opamp::accept_restart_command and a collector that reloads",
		zap.String("endpoint", u.Redacted()), zap.Stringer("command", what))
}

// clip shortens a text of the server.
func clip(words string) string {
	if len(words) > 512 {
		words = words[:512]
	}
	return text(words)
}

// sleep waits for d, or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
