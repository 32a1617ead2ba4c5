package lastgood

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// Attempt is a note on disk of the configuration that is being attempted, from
// which the next process learns that this one ended during that. Its methods may
// be called concurrently.
//
//	Begin ──▶ trying ──End──▶ no file
//	            │ the process ends
//	            ▼
//	Open: not trying, one death more ──Begin──▶ trying …
type Attempt struct {
	store *Store
	name  string // of the file
	note  note   // the content of the file, the zero value if there is none
}

// note is the file.
type note struct {
	Hash string `json:"hash"`
	// Deaths is how often the process ended during an attempt of Hash.
	Deaths int  `json:"deaths"`
	Trying bool `json:"trying"`
}

// load counts a death if the file says that an attempt is under way. A file that
// cannot be read names no configuration, so there is nothing to count.
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
		_ = a.write(n) // a disk that is full is no reason not to start; Begin tells of it
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

// Deaths tells how often the process ended while the configuration with this
// hash was attempted.
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

// Begin notes that the configuration with this hash is attempted now. When it
// returns without an error the note survives the end of the process and of the
// machine.
func (a *Attempt) Begin(hash string) error {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.write(note{Hash: hash, Deaths: a.deaths(hash), Trying: true})
}

// End notes that the process survived: the attempt has an outcome, and deaths
// are forgotten.
func (a *Attempt) End() error {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.remove()
}

// Abandon notes that the attempt ended without an outcome. Deaths remain.
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
	a.note = n // so that a disk that is full does not make us forget
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
