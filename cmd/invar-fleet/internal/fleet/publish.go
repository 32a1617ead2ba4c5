package fleet

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
)

// fileActor is the actor in the audit log for changes in the folder.
const fileActor = "file"

// introduction is how a new revision comes into force.
type introduction int

const (
	// byStages begins a rollout.
	byStages introduction = iota
	// forAll puts the revision in force for all collectors. It is for the folder
	// of a server whose state file is empty: collectors may run these pipelines
	// already, and with stages most of them would lose what they have.
	forAll
)

// checkPublish returns the newest revision if it has this content already, 0 if
// content can be published, or an error that says why it cannot.
func (s *state) checkPublish(name string, content []byte, d *definition, ifMatch string) (uint64, error) {
	p := s.pipelines[name]
	exists := p != nil && !p.removed()
	if ifMatch != "" && (!exists || ifMatch != "*" && ifMatch != p.saved.FileTag) {
		return 0, fmt.Errorf("pipeline %q: %w; read it again and publish what you want then", name, ErrChanged)
	}
	if !exists && len(s.offers.pipelines) >= maxPipelines {
		return 0, fmt.Errorf("%w: there are %d pipelines, which is the limit", ErrConflict, maxPipelines)
	}
	known := func(other string) bool { q := s.pipelines[other]; return q != nil && !q.removed() }
	if err := s.checkReplaces(name, d, known); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if exists && p.newest() != nil && p.fileError == "" && p.newest().record.Content == string(content) {
		return p.newest().record.Number, nil
	}
	return 0, nil
}

// checkReplaces checks what a file alone cannot show: that the pipelines to replace
// exist, and that none replaces itself through others.
func (s *state) checkReplaces(name string, d *definition, known func(string) bool) error {
	var errs []error
	for _, other := range d.replaces {
		if !known(other) {
			errs = append(errs, fmt.Errorf("replaces: %q is not a pipeline; name one that exists", other))
		}
	}
	reached := map[string]bool{}
	var visit func(names []string) bool
	visit = func(names []string) bool {
		for _, other := range names {
			if other == name {
				return true
			}
			if reached[other] {
				continue
			}
			reached[other] = true
			if p := s.pipelines[other]; p != nil && !p.removed() && p.newest() != nil && visit(p.newest().definition.replaces) {
				return true
			}
		}
		return false
	}
	if visit(d.replaces) {
		errs = append(errs, fmt.Errorf("replaces: %v leads back to %q; a pipeline cannot stand in for itself", d.replaces, name))
	}
	return errors.Join(errs...)
}

// pipeline returns the pipeline with this name, which it adds if it is not known.
func (s *state) pipeline(name string) *pipeline {
	p := s.pipelines[name]
	if p == nil {
		p = newPipeline(name)
		s.pipelines[name] = p
	}
	return p
}

// publish makes content the newest revision of p.
func (s *state) publish(p *pipeline, content []byte, d *definition, actor string, how introduction, now time.Time) {
	r := p.add(content, d, actor, now)
	number := r.record.Number
	if p.removed() {
		p.saved.Stable, p.saved.RemovedAt = 0, time.Time{}
	} else if s.complete(p, now) {
		p.saved.Stable = p.saved.Rollout.Revision
	}
	p.accept(content)
	p.saved.Rollout = rollout.Start(number, now)
	details := fmt.Sprintf("revision %d: %d %%", number, d.plan.Stages[0])
	if how == forAll {
		p.saved.Stable, p.saved.Rollout = number, rollout.Rollout{State: rollout.None}
		details = fmt.Sprintf("revision %d is in force for all: the state file was empty", number)
	}
	s.changes.pipeline(p.name)
	s.changes.audit(now, actor, "published", p.name, details)
	s.offersChanged()
}

// remove takes a pipeline away from all collectors. Its revisions are kept for a
// while.
func (s *state) remove(p *pipeline, actor string, now time.Time) {
	p.saved.RemovedAt, p.saved.Forced, p.saved.FileTag = now, nil, ""
	p.saved.Rollout, p.fileError, p.rejectedTag = rollout.Rollout{State: rollout.None}, "", ""
	s.changes.pipeline(p.name)
	s.changes.audit(now, actor, "removed", p.name, "")
	s.offersChanged()
}

// adoptFolder takes over what changed in the folder. The revisions of files that are
// not valid stay in force.
func (s *state) adoptFolder(files map[string]file, how introduction, now time.Time) error {
	if n := s.vanished(files); n > 1 {
		return fmt.Errorf("all %d files are gone at once, as when a volume is not mounted; the pipelines stay in force (to remove them, use the API)", n)
	}
	var missing []*pipeline
	for _, p := range s.offers.pipelines {
		if _, exists := files[p.name]; !exists {
			missing = append(missing, p)
		}
	}
	for _, p := range missing {
		s.remove(p, fileActor, now)
	}
	known := func(name string) bool { _, ok := files[name]; return ok }
	for _, name := range sortedKeys(files) {
		s.adoptFile(name, files[name], known, how, now)
	}
	return nil
}

// vanished returns how many pipelines there were if the files of all of them are
// gone and there is no new one, and 0 otherwise. Pipelines whose file was never valid
// do not count.
func (s *state) vanished(files map[string]file) int {
	for name := range files {
		if p := s.pipelines[name]; p == nil || !p.removed() && p.saved.Last > 0 {
			return 0
		}
	}
	n := 0
	for _, p := range s.offers.pipelines {
		if p.saved.Last > 0 {
			n++
		}
	}
	return n
}

func (s *state) adoptFile(name string, read file, known func(string) bool, how introduction, now time.Time) {
	p := s.pipeline(name)
	tag := contentTag(read.content)
	if read.err == nil && !p.removed() && tag == p.saved.FileTag {
		p.fileError, p.rejectedTag = "", ""
		return
	}
	if read.err == nil && tag == p.rejectedTag {
		return
	}
	d, err := readDefinition(name, read)
	p.rejectedTag = ""
	if err != nil {
		p.rejectedTag = tag
	} else {
		err = s.checkReplaces(name, d, known) // with every poll, because other files change
	}
	if err == nil {
		s.publish(p, read.content, d, fileActor, how, now)
		return
	}
	if p.fileError != err.Error() {
		s.logger.Error("Cannot use a pipeline's file", zap.String("file", name+extension), zap.Error(err))
		p.fileError = err.Error()
		s.offersChanged() // a new pipeline is listed, with its error
	}
}
