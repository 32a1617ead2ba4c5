// Package fleet decides which collector runs which revision of which pipeline.
//
//	folder of YAML ◀──▶ revisions ──▶ offers ──▶ Seen ◀── transports ◀── collectors
//	 (people, Git,        │   ▲          ▲         │
//	  the API)            │   │          │         ▼
//	                      │   └─── rollouts ◀── status, FAILED
//	                      ▼
//	                state file: revisions, rollouts, collectors, audit log
//
// A pipeline is the file <name>.yaml of the folder. Every content of the file is
// a revision. A rollout gives a new revision, the candidate, to more and more
// collectors, and withdraws it from all of them when one reports FAILED.
//
// A Fleet locks, changes the state, and waits for the saver. What it decides is in
// other places: package rollout has the rules of rollouts, offers decides who gets
// what, registry bounds what collectors make the server keep. Package store has the
// state file.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

// Errors that callers distinguish. Other errors come from the file system.
var (
	ErrNotFound = errors.New("not found")
	// ErrInvalid means that an argument is not valid.
	ErrInvalid = errors.New("not valid")
	// ErrConflict means that the present state does not permit the action.
	ErrConflict = errors.New("not possible now")
	// ErrChanged means that a pipeline was published from an outdated content.
	ErrChanged = errors.New("changed in the meantime")
	// ErrFull means that there is no room for another collector.
	ErrFull = errors.New("full")
)

const (
	// tickInterval is how often rollouts and time limits are checked.
	tickInterval = time.Second
	// saveSeenInterval is how often the times when collectors were seen are saved.
	saveSeenInterval = time.Minute
)

// Settings configure a Fleet. Folder and StateFile are required.
type Settings struct {
	// Folder has the pipelines, StateFile is the bbolt file.
	Folder, StateFile string
	// PollInterval is how often the folder is read; 10 s if it is 0.
	PollInterval time.Duration
	// ForgetAfter is how long an offline collector is remembered; 24 h if it is 0.
	ForgetAfter time.Duration
	// MaxCollectors is how many collectors are remembered; 20,000 if it is 0.
	MaxCollectors int
	Logger        *zap.Logger
	// Now is the clock; time.Now if it is nil.
	Now func() time.Time
}

// Fleet is a running fleet. It is safe for concurrent use.
type Fleet struct {
	settings Settings
	logger   *zap.Logger
	now      func() time.Time
	watchers *watchers
	detailed chan struct{} // holds a token for each Seen with details

	stop       chan struct{}
	background sync.WaitGroup

	// folderMu orders what reads and writes the folder. It is locked before mu.
	folderMu sync.Mutex
	folder   folder

	mu          sync.Mutex // guards the rest
	state       *state
	saver       *saver
	folderError error
}

// Open reads the state file and the folder, and follows both until Close.
func Open(s Settings) (*Fleet, error) {
	s.PollInterval = cmp.Or(s.PollInterval, 10*time.Second)
	s.ForgetAfter = cmp.Or(s.ForgetAfter, 24*time.Hour)
	s.MaxCollectors = cmp.Or(s.MaxCollectors, 20_000)
	if s.Logger == nil {
		s.Logger = zap.NewNop()
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if info, err := os.Stat(s.Folder); err != nil {
		return nil, fmt.Errorf("pipelines: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("pipelines: %s is not a folder", s.Folder)
	}
	file, err := store.Open(s.StateFile)
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		settings: s, logger: s.Logger, now: s.Now, watchers: newWatchers(),
		detailed: make(chan struct{}, maxDetailed),
		stop:     make(chan struct{}),
		folder:   folder(s.Folder),
	}
	f.state = newState(s.Logger, s.MaxCollectors, f.watchers)
	f.saver = &saver{file: file, logger: s.Logger, mu: &f.mu, state: f.state}
	if err := f.state.load(file, f.now()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	how := byStages
	if len(f.state.pipelines) == 0 {
		how = forAll
	}
	f.readFolder(how)
	if err := f.saver.save(); err != nil {
		return nil, errors.Join(fmt.Errorf("state %s: %w", s.StateFile, err), file.Close())
	}
	f.background.Go(func() { f.saver.run(f.state.changes.wake, f.stop) })
	f.background.Go(f.run)
	return f, nil
}

// Close saves what is not saved yet and closes the state file. No other call may be
// in progress.
func (f *Fleet) Close() error {
	close(f.stop)
	f.background.Wait()
	f.mu.Lock()
	for id := range f.state.registry.collectors {
		f.state.changes.collector(id) // for the times when they were seen
	}
	f.mu.Unlock()
	return errors.Join(f.saver.save(), f.saver.file.Close())
}

// run does what is due with time, until the Fleet is closed.
func (f *Fleet) run() {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	poll := time.NewTicker(f.settings.PollInterval)
	defer poll.Stop()
	saveSeen := time.NewTicker(saveSeenInterval)
	defer saveSeen.Stop()
	for {
		select {
		case <-tick.C:
			f.tick()
		case <-poll.C:
			f.readFolder(byStages)
		case <-saveSeen.C:
			f.mu.Lock()
			f.state.tidy(f.now(), f.settings.ForgetAfter)
			f.mu.Unlock()
		case <-f.stop:
			return
		}
	}
}

// tick ends overrides whose time is over, and moves rollouts on.
func (f *Fleet) tick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	f.state.expireForced(now)
	if f.state.registry.settled(now) {
		f.state.stepRollouts(now)
	}
}

// readFolder takes over what changed in the folder. If the folder cannot be read,
// all revisions stay in force.
func (f *Fleet) readFolder(how introduction) {
	f.folderMu.Lock()
	defer f.folderMu.Unlock()
	files, err := f.folder.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = f.state.adoptFolder(files, how, f.now())
	}
	if err != nil && (f.folderError == nil || f.folderError.Error() != err.Error()) {
		f.logger.Error("The folder of pipelines has errors", zap.String("folder", f.settings.Folder), zap.Error(err))
	}
	f.folderError = err
}

// Seen records what a collector said and returns what it should run. New
// information is saved before Seen returns. It is no error if that fails: collectors
// do not depend on it. Errors are ErrInvalid, ErrFull, or the error of ctx.
func (f *Fleet) Seen(ctx context.Context, s Sighting) (Offer, error) {
	if err := s.check(); err != nil {
		return Offer{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if s.detailed() {
		select {
		case f.detailed <- struct{}{}:
			defer func() { <-f.detailed }()
		case <-ctx.Done():
			return Offer{}, ctx.Err()
		}
	}
	f.mu.Lock()
	offer, saving, err := f.state.seen(&s, f.now())
	f.mu.Unlock()
	if err != nil {
		return Offer{}, err
	}
	if saving != nil {
		if err := saving.wait(ctx); err != nil && ctx.Err() != nil {
			return Offer{}, err
		}
	}
	return offer, nil
}

// Gone records that a collector unregistered. It is remembered as offline.
func (f *Fleet) Gone(ctx context.Context, id string) error {
	f.mu.Lock()
	c, err := f.state.collector(id)
	if err != nil {
		f.mu.Unlock()
		return err
	}
	c.record.Gone = true
	f.state.changes.collector(id)
	saving := f.state.changes.save()
	f.mu.Unlock()
	return saving.wait(ctx)
}

// Watch calls changed after changes that may affect offers, once for any number of
// changes. It returns when ctx ends.
func (f *Fleet) Watch(ctx context.Context, changed func()) { f.watchers.watch(ctx, changed) }
