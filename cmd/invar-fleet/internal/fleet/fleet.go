// Package fleet is what a fleet server knows and decides: which collectors there
// are, which pipelines there are, and who runs which revision of them.
//
//	folder of YAML ◀──▶ revisions ──▶ offers ──▶ Seen ◀── transports ◀── collectors
//	 (people, Git,        │   ▲          ▲         │
//	  the API)            │   │          │         ▼
//	                      │   └─── rollouts ◀── status, FAILED
//	                      ▼
//	                bbolt: revisions, rollouts, collectors, audit log
//
// A pipeline is the file <name>.yaml of the folder. Every content of the file is
// a revision. A rollout gives a new revision, the candidate, to more and more
// collectors, and takes it back from all when one reports FAILED.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// Errors that callers tell apart. Others are of the file system.
var (
	ErrNotFound = errors.New("not found")
	// ErrInvalid is of what the caller gave.
	ErrInvalid = errors.New("not valid")
	// ErrConflict is of actions that the present state has no place for.
	ErrConflict = errors.New("not possible now")
	// ErrChanged is of a publish that was made from an older content.
	ErrChanged = errors.New("changed in the meantime")
	// ErrFull means that there are as many collectors as may be.
	ErrFull = errors.New("full")
)

const (
	// tickInterval is how often rollouts and limits of time are looked at.
	tickInterval = time.Second
	// saveSeenInterval is how often the times when collectors were seen are saved.
	saveSeenInterval = time.Minute
)

// byItself is the actor of what nobody did.
const byItself = "invar-fleet"

// Settings is how a Fleet works. Folder and StateFile must be there.
type Settings struct {
	// Folder has the pipelines, StateFile is the bbolt file.
	Folder, StateFile string
	// PollInterval is how often the folder is read; 10 s if it is 0.
	PollInterval time.Duration
	// ForgetAfter is how long a collector that is away is remembered; 24 h if it
	// is 0.
	ForgetAfter time.Duration
	// MaxCollectors is how many are remembered; 20,000 if it is 0.
	MaxCollectors int
	Logger        *zap.Logger
	// Now is the clock; time.Now if it is nil.
	Now func() time.Time
}

// Fleet is safe for concurrent use.
type Fleet struct {
	settings Settings
	logger   *zap.Logger
	now      func() time.Time
	store    *store

	stop       chan struct{}
	background sync.WaitGroup
	wake       chan struct{} // the saver

	// folderMu orders what reads and writes the folder; it is taken before mu.
	folderMu sync.Mutex

	mu         sync.Mutex
	collectors map[string]*collector
	ids        []string // of collectors, sorted; nil: to be made anew
	pipelines  map[string]*pipeline
	// generation changes with everything that offers depend on.
	generation  uint64
	offers      offers
	open        *batch
	saveError   error
	saveErrors  uint64
	folderError error
	// adopting is set while the folder is read for an empty state file. What is
	// in it may be what collectors run already: it is in force for all, as with
	// stages most would lose what they have.
	adopting    bool
	subscribers map[chan struct{}]struct{}
	// returning are the collectors that were online before a restart and are
	// not back yet. Until they are, or returnBy, no rollout moves on.
	returning map[string]bool
	returnBy  time.Time

	// What the collectors have, by the name of the token and together, in bytes.
	limits          limits
	usage           map[string]*usage
	memory          int
	pending, stored int
	detailed        chan struct{} // holds a token for each that reports details
}

// Open reads the state and the folder and begins to look after both.
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
	st, err := openStore(s.StateFile)
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		settings: s, logger: s.Logger, now: s.Now, store: st,
		stop:        make(chan struct{}),
		wake:        make(chan struct{}, 1),
		collectors:  map[string]*collector{},
		pipelines:   map[string]*pipeline{},
		offers:      offers{entries: map[string]*entry{}, byHash: map[string]*entry{}, contents: newContents(), limit: defaultLimits.offers},
		limits:      defaultLimits,
		detailed:    make(chan struct{}, maxDetailed),
		usage:       map[string]*usage{},
		open:        newBatch(),
		subscribers: map[chan struct{}]struct{}{},
	}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, st.close())
	}
	f.adopting = len(f.pipelines) == 0
	f.readFolder()
	f.adopting = false
	if err := f.save(); err != nil {
		return nil, errors.Join(fmt.Errorf("state %s: %w", s.StateFile, err), st.close())
	}
	f.background.Go(func() { f.saver(f.stop) })
	f.background.Go(f.run)
	return f, nil
}

// load fills the memory from the state file.
func (f *Fleet) load() error {
	var latest time.Time
	now := f.now()
	err := f.store.load(func(r collectorRecord, size int) {
		r.LastSeen = past(r.LastSeen, now)
		c := &collector{collectorRecord: r, storedRecord: size}
		f.collectors[r.ID] = c
		f.stored += size
		f.weigh(c)
		if r.LastSeen.After(latest) {
			latest = r.LastSeen
		}
	}, func(id string, effective, components int) {
		if c := f.collectors[id]; c != nil {
			c.storedEffective += effective
			c.storedComponents += components
			f.stored += effective + components
		}
	}, func(p *pipeline) { f.pipelines[p.name] = p })
	if err != nil {
		return err
	}
	for _, p := range f.pipelines {
		f.readRevisions(p)
		r := &p.state.Rollout
		r.Since, r.AppliedSince = past(r.Since, now), past(r.AppliedSince, now)
		if forced := p.state.Forced; forced != nil && forced.Until.Sub(now) > maxForced {
			forced.Until = now.Add(maxForced)
		}
	}
	f.returning, f.returnBy = map[string]bool{}, now.Add(silence)
	for id, c := range f.collectors {
		if !c.Gone && latest.Sub(c.LastSeen) < silence+saveSeenInterval {
			f.returning[id] = true
		}
	}
	f.changed()
	return nil
}

// past returns t, or now if the clock was put back since t was saved.
func past(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// readRevisions parses the revisions of a pipeline from the state file. One that
// this version of the program does not take any more is offered to nobody.
func (f *Fleet) readRevisions(p *pipeline) {
	for _, r := range p.revisions {
		d, err := parseDefinition(p.name, []byte(r.Content))
		if err != nil {
			if r.Number == p.state.Stable || r.Number == p.state.Rollout.Revision {
				p.state.FileTag = "" // so that the folder's is read, and its error shown
				f.logger.Error("A revision cannot be read any more", zap.String("pipeline", p.name), zap.Uint64("revision", r.Number), zap.Error(err))
			}
			nobody, _ := parseMatchers([]string{`collector.id=""`})
			d = &definition{matchers: nobody, stages: []int{100}}
		}
		r.definition = d
	}
	if p.revision(p.state.Rollout.Revision) == nil {
		p.state.Rollout = rollout{State: RolloutNone}
	}
}

// Close saves what is not saved yet and lets go of the state file. Calls in
// progress should have ended.
func (f *Fleet) Close() error {
	close(f.stop)
	f.background.Wait()
	f.mu.Lock()
	for id := range f.collectors {
		f.open.collectors[id] = true // the times when they were seen
	}
	f.mu.Unlock()
	return errors.Join(f.save(), f.store.close())
}

// changed makes all offers be decided again. The mutex is held.
func (f *Fleet) changed() {
	f.generation++
	f.offers.pipelines = f.offers.pipelines[:0]
	for _, name := range sortedKeys(f.pipelines) {
		if p := f.pipelines[name]; !p.removed() {
			f.offers.pipelines = append(f.offers.pipelines, p)
		}
	}
	f.offers.prune(f.collectors, false)
	for c := range f.subscribers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// refresh decides what a collector is to be offered, if that may have changed.
func (f *Fleet) refresh(c *collector) {
	if c.entry == nil || c.generation != f.generation {
		c.entry, c.generation = f.offers.of(c, nil), f.generation
	}
}

// Seen records what a collector said and returns what it should run. What is new
// in it has been saved when Seen returns. Errors are ErrInvalid and ErrFull; that
// the state could not be saved is none, as collectors do not depend on it.
func (f *Fleet) Seen(ctx context.Context, s Sighting) (Offer, error) {
	if err := s.check(); err != nil {
		return Offer{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if s.Effective != nil || s.Components != nil {
		select {
		case f.detailed <- struct{}{}:
			defer func() { <-f.detailed }()
		case <-ctx.Done():
			return Offer{}, ctx.Err()
		}
	}
	f.mu.Lock()
	now := f.now()
	c := f.collectors[s.ID]
	fresh := c == nil
	if fresh {
		c = &collector{collectorRecord: collectorRecord{ID: s.ID, FirstSeen: now}}
		f.collectors[s.ID], f.ids = c, nil
	}
	news, rematch := c.take(&s, now)
	if s.Effective != nil || s.Components != nil {
		f.setPending(c)
	}
	if rematch {
		c.entry = nil
	}
	if news || fresh {
		f.weigh(c)
		f.refresh(c)
		if err := f.makeRoom(c, now, fresh); err != nil {
			f.mu.Unlock()
			return Offer{}, err
		}
	}
	delete(f.returning, s.ID)
	if s.Status == remoteconf.StatusFailed && !s.Partial {
		f.failed(c, now)
	}
	f.refresh(c)
	c.offered = c.entry
	offer := c.entry.Offer
	var saving *batch
	if news || fresh {
		f.open.collectors[c.ID] = true
		saving = f.wakeSaver()
	}
	f.mu.Unlock()
	if saving != nil {
		if err := saving.wait(ctx); err != nil && ctx.Err() != nil {
			return Offer{}, err
		}
	}
	return offer, nil
}

func (f *Fleet) forget(id string) {
	if c := f.collectors[id]; c != nil {
		f.unweigh(c)
		f.pending -= c.pending
		f.stored -= c.storedRecord + c.storedEffective + c.storedComponents
	}
	delete(f.collectors, id)
	delete(f.returning, id)
	f.ids, f.open.collectors[id] = nil, true
}

// failed halts the rollouts that a FAILED report is the one too many for.
func (f *Fleet) failed(c *collector, now time.Time) {
	e := f.reportedEntry(c)
	if e == nil {
		return
	}
	var candidates []*pipeline
	for _, a := range e.assigned {
		p := f.pipelines[a.Name]
		if p != nil && !p.removed() && p.state.Rollout.offered() && p.state.Rollout.Revision == a.Revision && !slices.Contains(p.state.Rollout.Failed, c.ID) {
			candidates = append(candidates, p)
		}
	}
	for _, p := range blamed(e, candidates, c.Error) {
		f.open.pipelines[p.name] = true
		f.wakeSaver()
		if p.fail(c, now) {
			f.logger.Warn("Rollout halted", zap.String("pipeline", p.name), zap.Uint64("revision", p.state.Rollout.Revision), zap.String("reason", p.state.Rollout.Reason))
			f.note(byItself, "halted", p.name, fmt.Sprintf("revision %d: %s", p.state.Rollout.Revision, p.state.Rollout.Reason))
			f.changed()
		}
	}
}

// reportedEntry returns what the collector's report is about, or nil.
func (f *Fleet) reportedEntry(c *collector) *entry {
	for _, e := range []*entry{c.offered, c.entry, f.offers.byHash[c.Hash]} {
		if e != nil && e.Hash == c.Hash {
			return e
		}
	}
	return nil
}

// Gone tells that a collector took its leave. It is remembered as one that is
// away.
func (f *Fleet) Gone(ctx context.Context, id string) error {
	f.mu.Lock()
	c := f.collectors[id]
	if c == nil {
		f.mu.Unlock()
		return fmt.Errorf("collector %q: %w", id, ErrNotFound)
	}
	c.Gone = true
	f.open.collectors[id] = true
	saving := f.wakeSaver()
	f.mu.Unlock()
	return saving.wait(ctx)
}

// Watch calls f after anything changed that may change offers, one call for any
// number of changes, until ctx ends. It returns then.
func (f *Fleet) Watch(ctx context.Context, changed func()) {
	c := make(chan struct{}, 1)
	f.mu.Lock()
	f.subscribers[c] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.subscribers, c)
		f.mu.Unlock()
	}()
	for {
		select {
		case <-c:
			changed()
		case <-ctx.Done():
			return
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
