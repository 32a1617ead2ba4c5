package remoteconfigextension

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.opentelemetry.io/collector/component"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/lastgood"
	"github.com/invar-otel/invar/internal/dirlock"
)

// systemState is the directory for the state of services.
const systemState = "/var/lib"

// directories returns the default directories in the order in which they are tried: the
// system's, and the user's for a user who cannot write to the system's.
func directories(id component.ID) []string {
	name := id.Type().String()
	if id.Name() != "" {
		name += "_" + url.PathEscape(id.Name())
	}
	all := []string{filepath.Join(systemState, "invar", name)}
	user := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(user) {
		home, err := os.UserHomeDir()
		if err != nil {
			return all
		}
		user = filepath.Join(home, ".local", "state")
	}
	return append(all, filepath.Join(user, "invar", name))
}

// openStore opens the configured directory, or the first usable candidate.
func openStore(configured, owner string, candidates []string) (*lastgood.Store, error) {
	if configured != "" {
		return lastgood.Open(configured, owner)
	}
	var errs []error
	for _, dir := range candidates {
		store, err := lastgood.Open(dir, owner)
		if err == nil {
			return store, nil
		}
		if locked := new(dirlock.LockedError); errors.As(err, &locked) {
			return nil, err // another directory would mean another identity
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("storage_directory: is not set, and no default can be used; set it to a folder that can be written: %w", errors.Join(errs...))
}
