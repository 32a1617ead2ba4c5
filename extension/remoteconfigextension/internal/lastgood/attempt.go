package lastgood

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// Attempt is a note on disk about the configuration that is being attempted. If the
// process ends during the attempt, the next one learns it from the note. It is safe
// for concurrent use.
//
//	Begin ──▶ trying ──End──▶ no file
//	            │ the process ends
//	            ▼
//	Open: not trying, one more death ──Begin──▶ trying …
type Attempt struct {
	store *Store
	name  string // of the file
	note  note   // the contents of the file; zero without a file
}

// note is the contents of the file.
type note struct {
	Hash string `json:"hash"`
	// Deaths is how often the process ended during an attempt of Hash.
	Deaths int  `json:"deaths"`
	Trying bool `json:"trying"`
}

// load reads the file, and counts a death if it says that an attempt was under way. It
// removes a damaged file, which names no configuration.
func (a *Attempt) load() error {
	content, err := a.store.read(a.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := decodeNote(content)
	if err != nil {
		return a.remove()
	}
	a.note = n
	if n.Trying {
		n.Trying = false
		n.Deaths++
		_ = a.write(n) // a full disk must not prevent the start; Begin returns the error
	}
	return nil
}

func decodeNote(content []byte) (note, error) {
	var n note
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&n); err != nil {
		return note{}, err
	}
	if n.Deaths < 0 {
		return note{}, errors.New("deaths is negative")
	}
	return n, nil
}

// Deaths returns how often the process ended during an attempt of the configuration
// with this hash.
func (a *Attempt) Deaths(hash string) int {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.deaths(hash)
}

func (a *Attempt) deaths(hash string) int {
	if a.note.Hash != hash {
		return 0
	}
	return a.note.Deaths
}

// Begin notes that the configuration with this hash is being attempted. After it has
// returned nil, the note survives a crash of the process and of the machine.
func (a *Attempt) Begin(hash string) error {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.write(note{Hash: hash, Deaths: a.deaths(hash), Trying: true})
}

// End notes that the attempt has an outcome. It resets the deaths.
func (a *Attempt) End() error {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.remove()
}

// Abandon notes that the attempt ended without an outcome. It keeps the deaths.
func (a *Attempt) Abandon() error {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	if a.note.Deaths == 0 {
		return a.remove()
	}
	n := a.note
	n.Trying = false
	return a.write(n)
}

func (a *Attempt) write(n note) error {
	content, err := json.Marshal(n)
	if err != nil {
		return err
	}
	a.note = n // even if the disk is full
	return a.store.write(a.name, append(content, '\n'))
}

func (a *Attempt) remove() error {
	if a.store.closed {
		return errClosed
	}
	a.note = note{}
	err := os.Remove(a.store.path(a.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
