package confinement

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// globMeta are the characters that begin the variable part of a pattern of
// paths, in filepath.Match and in doublestar.
const globMeta = `*?[{\`

// checkPath returns an error if a file, folder or glob pattern is not within
// AllowedPaths. Of a pattern, the part before the first wildcard counts. Symbolic
// links in the path are followed first. Links inside an allowed folder, which the
// host's administrators made, stay usable.
func (r *Rules) checkPath(path string) error {
	if strings.ContainsRune(path, 0) {
		return errors.New("contains a zero byte, which is not in a path")
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path; a remote configuration names files like /etc/invar/certs/ca.pem", path)
	}
	// After a symbolic link, .. does not lead where a cleaned path says.
	if slices.Contains(strings.FieldsFunc(path, func(c rune) bool { return c == '/' || c == filepath.Separator }), "..") {
		return fmt.Errorf("%q contains .., which is not followed; write the path without", path)
	}
	fixed := path
	meta := globMeta
	if filepath.Separator == '\\' {
		meta = strings.TrimSuffix(meta, `\`)
	}
	if i := strings.IndexAny(path, meta); i >= 0 {
		fixed = filepath.Dir(path[:i] + "x")
	}
	resolved, err := resolve(filepath.Clean(fixed))
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	for _, allowed := range r.AllowedPaths {
		root, err := resolve(filepath.Clean(allowed))
		if err != nil {
			continue // it cannot hold the path
		}
		if rest, err := filepath.Rel(root, resolved); err == nil && filepath.IsLocal(rest) {
			return nil
		}
	}
	if len(r.AllowedPaths) == 0 {
		return fmt.Errorf("%q is a path of this host, and no allowed_paths are set", path)
	}
	return fmt.Errorf("%q is not within allowed_paths", path)
}

// resolve follows symbolic links in the part of a clean absolute path that exists.
func resolve(path string) (string, error) {
	rest := ""
	for prefix := path; ; prefix = filepath.Dir(prefix) {
		target, err := filepath.EvalSymlinks(prefix)
		if err == nil {
			return filepath.Join(target, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			// For example a path below a file, or a loop of links.
			return "", errors.New("cannot be followed on this host")
		}
		if _, err := os.Lstat(prefix); err == nil {
			return "", errors.New("is a symbolic link to something that does not exist")
		}
		if prefix == filepath.Dir(prefix) {
			return path, nil
		}
		rest = filepath.Join(filepath.Base(prefix), rest)
	}
}
