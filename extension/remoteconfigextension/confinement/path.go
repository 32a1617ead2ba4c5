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

// checkPath tells why a file, folder or pattern is not within AllowedPaths; nil
// if it is. The part before a pattern's first * or the like must be within, after
// symbolic links. What is linked below it by the host's own people stays reachable.
func (r *Rules) checkPath(path string) error {
	if strings.ContainsRune(path, 0) {
		return errors.New("contains a zero byte, which is not in a path")
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path; a remote configuration names files like /etc/invar/certs/ca.pem", path)
	}
	// Cleaning would hide that .. after a link is not where it looks.
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
			// A path below a file reads nothing, but where it leads is not known.
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
