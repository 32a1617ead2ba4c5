package fleet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// maxPipelines bounds what a folder may hold.
const maxPipelines = 1000

const extension = ".yaml"

// readFolder takes over what changed in the folder. A file that is not right
// leaves the earlier revision in force, and so does a folder that cannot be
// read.
func (f *Fleet) readFolder() {
	f.folderMu.Lock()
	defer f.folderMu.Unlock()
	contents, err := f.folderContents()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = f.takeFolder(contents)
	}
	if err != nil && (f.folderError == nil || f.folderError.Error() != err.Error()) {
		f.logger.Error("The folder of pipelines is not in order", zap.String("folder", f.settings.Folder), zap.Error(err))
	}
	f.folderError = err
}

// file is one read, or why not.
type file struct {
	content []byte
	err     error
}

func (f *Fleet) folderContents() (map[string]file, error) {
	list, err := os.ReadDir(f.settings.Folder)
	if err != nil {
		return nil, err
	}
	contents := make(map[string]file)
	for _, e := range list {
		name, isYAML := strings.CutSuffix(e.Name(), extension)
		if !isYAML || strings.HasPrefix(name, ".") {
			continue
		}
		content, err := readBounded(filepath.Join(f.settings.Folder, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile, or a link to nowhere
		}
		contents[name] = file{content, err}
	}
	if len(contents) > maxPipelines {
		return nil, fmt.Errorf("%d files; at most %d are taken", len(contents), maxPipelines)
	}
	return contents, nil
}

// readBounded reads a little more than is taken, so that parsing says why not.
func readBounded(path string) ([]byte, error) {
	file, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, MaxContent+1))
}

// takeFolder is called with both mutexes held.
func (f *Fleet) takeFolder(contents map[string]file) error {
	var gone []*pipeline
	present, good := 0, false // of those that were ever right
	for _, p := range f.offers.pipelines {
		_, there := contents[p.name]
		if !there {
			gone = append(gone, p)
		}
		if p.state.Last > 0 {
			present++
			good = good || there
		}
	}
	for name := range contents {
		good = good || f.pipelines[name] == nil
	}
	if present > 1 && !good {
		return fmt.Errorf("all %d files are gone at once, as when a volume is not mounted; the pipelines stay in force (to remove them, use the API)", present)
	}
	for _, p := range gone {
		f.remove(p, "file")
	}
	known := func(name string) bool { _, ok := contents[name]; return ok }
	for _, name := range sortedKeys(contents) {
		f.takeFile(name, contents[name], known)
	}
	return nil
}

func (f *Fleet) takeFile(name string, got file, known func(string) bool) {
	p := f.pipelines[name]
	if p == nil {
		p = &pipeline{name: name, state: pipelineState{Rollout: rollout{State: RolloutNone}}}
		f.pipelines[name] = p
	}
	tag := contentTag(got.content)
	if got.err == nil && !p.removed() && tag == p.state.FileTag {
		p.fileError, p.badTag = "", ""
		return
	}
	if got.err == nil && tag == p.badTag {
		return
	}
	d, err := readDefinition(name, got)
	p.badTag = ""
	if err != nil {
		p.badTag = tag
	} else {
		err = f.checkReplaces(name, d, known) // again with every poll, as others change
	}
	if err == nil {
		f.take(p, got.content, d, "file")
		return
	}
	if p.fileError != err.Error() {
		f.logger.Error("A pipeline's file is not taken", zap.String("file", name+extension), zap.Error(err))
		p.fileError = err.Error()
		f.changed() // a new one is listed, with its error
	}
}

func readDefinition(name string, got file) (*definition, error) {
	if err := remoteconf.ValidName(name); err != nil {
		return nil, err
	}
	if got.err != nil {
		return nil, got.err
	}
	return parseDefinition(name, got.content)
}

// checkReplaces looks at what a single file cannot tell: that the pipelines to
// stand in for exist, and that none stands in for itself through others.
func (f *Fleet) checkReplaces(name string, d *definition, known func(string) bool) error {
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
			if p := f.pipelines[other]; p != nil && !p.removed() && p.newest() != nil && visit(p.newest().definition.replaces) {
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

// take makes content the newest revision and begins its rollout.
func (f *Fleet) take(p *pipeline, content []byte, d *definition, actor string) {
	now := f.now()
	r := p.add(content, d, actor, now)
	if p.removed() {
		p.state.Stable, p.state.RemovedAt = 0, time.Time{}
	} else if f.complete(p, now) {
		p.state.Stable = p.state.Rollout.Revision
	}
	p.state.FileTag = contentTag(content)
	p.fileError, p.badTag = "", ""
	p.state.Rollout = rollout{Revision: r.Number, State: RolloutRunning, Since: now}
	details := fmt.Sprintf("revision %d: %d %%", r.Number, d.stages[0])
	if f.adopting {
		p.state.Stable, p.state.Rollout = r.Number, rollout{State: RolloutNone}
		details = fmt.Sprintf("revision %d is in force for all: the state file was empty", r.Number)
	}
	f.open.pipelines[p.name] = true
	f.note(actor, "published", p.name, details)
	f.changed()
}

// remove takes a pipeline away from all. Its revisions stay for a while.
func (f *Fleet) remove(p *pipeline, actor string) {
	p.state.RemovedAt, p.state.Forced, p.state.FileTag = f.now(), nil, ""
	p.state.Rollout, p.fileError, p.badTag = rollout{State: RolloutNone}, "", ""
	f.open.pipelines[p.name] = true
	f.note(actor, "removed", p.name, "")
	f.changed()
}

// writeFile replaces a pipeline's file so that it is there in whole or not at
// all, whatever happens meanwhile.
func (f *Fleet) writeFile(name string, content []byte) error {
	path := filepath.Join(f.settings.Folder, name+extension)
	temporary, err := os.CreateTemp(f.settings.Folder, "."+name+".*.tmp")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Chmod(0o644)
	}
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return f.syncFolder()
}

func (f *Fleet) removeFile(name string) error {
	if err := os.Remove(filepath.Join(f.settings.Folder, name+extension)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.syncFolder()
}

func (f *Fleet) syncFolder() error {
	folder, err := os.Open(f.settings.Folder)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
