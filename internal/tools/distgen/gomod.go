package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// goVersion is the language version of the generated module.
const goVersion = "1.26.0"

// syncGoMod returns go.mod with the manifest's modules required at the
// manifest's versions and with exactly its replaces and excludes. It leaves
// all other requirements as they are; an empty current makes a new go.mod.
// Applied to its own tidied result it changes nothing.
func syncGoMod(current []byte, m *manifest) ([]byte, error) {
	f, err := modfile.Parse("go.mod", current, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.AddModuleStmt(m.Dist.Module), f.AddGoStmt(goVersion)); err != nil {
		return nil, err
	}
	replaces := map[string]string{}
	for _, e := range m.entries() {
		path, version, err := e.module()
		if err != nil {
			return nil, err
		}
		if err := f.AddRequire(path, version); err != nil {
			return nil, err
		}
		if e.Path != "" {
			if replaces[path], err = localPath(m, e.Path); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range m.Replaces {
		from, to, ok := strings.Cut(r, "=>")
		if !ok {
			return nil, fmt.Errorf("replaces: %q has no =>", r)
		}
		replaces[strings.TrimSpace(from)] = strings.TrimSpace(to)
	}
	if err := setReplaces(f, replaces); err != nil {
		return nil, err
	}
	if err := setExcludes(f, m.Excludes); err != nil {
		return nil, err
	}
	f.Cleanup()
	return f.Format()
}

// localPath turns a folder relative to the manifest into one relative to the
// generated module, in the form go.mod wants.
func localPath(m *manifest, path string) (string, error) {
	rel, err := filepath.Rel(m.Dist.OutputPath, path)
	if err != nil {
		return "", err
	}
	return filepath.ToSlash(rel), nil
}

func setReplaces(f *modfile.File, want map[string]string) error {
	for _, r := range slices.Clone(f.Replace) {
		if want[r.Old.Path] == r.New.Path && r.Old.Version == "" && r.New.Version == "" {
			delete(want, r.Old.Path)
			continue
		}
		if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return err
		}
	}
	paths := make([]string, 0, len(want))
	for path := range want {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err := f.AddReplace(path, "", want[path], ""); err != nil {
			return err
		}
	}
	return nil
}

func setExcludes(f *modfile.File, want []string) error {
	wanted := map[module.Version]bool{}
	for _, e := range want {
		path, version, err := entry{GoMod: e}.module()
		if err != nil {
			return fmt.Errorf("excludes: %w", err)
		}
		wanted[module.Version{Path: path, Version: version}] = true
	}
	for _, e := range slices.Clone(f.Exclude) {
		if wanted[e.Mod] {
			delete(wanted, e.Mod)
			continue
		}
		if err := f.DropExclude(e.Mod.Path, e.Mod.Version); err != nil {
			return err
		}
	}
	for mod := range wanted {
		if err := f.AddExclude(mod.Path, mod.Version); err != nil {
			return err
		}
	}
	return nil
}

// verifyVersions reports modules that ended up at another version than the
// manifest states, because some other module requires a later one.
func verifyVersions(goMod []byte, m *manifest) error {
	f, err := modfile.Parse("go.mod", goMod, nil)
	if err != nil {
		return err
	}
	got := map[string]string{}
	for _, r := range f.Require {
		got[r.Mod.Path] = r.Mod.Version
	}
	var errs []error
	for _, e := range m.entries() {
		path, version, err := e.module()
		if err != nil {
			return err
		}
		if got[path] != version {
			errs = append(errs, fmt.Errorf("%s: builder-config.yaml says %s, but the modules resolve to %q", path, version, got[path]))
		}
	}
	return errors.Join(errs...)
}
