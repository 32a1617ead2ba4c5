package peerprocess

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Growth adds up how much the files of a folder grow. Deleting old files does not
// subtract from it, and neither block sizes nor write-back add to it. What a peer
// overwrites in place is not counted.
type Growth struct {
	Total int64 // by how much files grew
	Now   int64 // size of all files

	sizes map[string]int64
}

// Update reads the sizes of all files below dir.
func (g *Growth) Update(dir string) error {
	sizes := make(map[string]int64, len(g.sizes))
	g.Now = 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		size := info.Size()
		sizes[path] = size
		g.Now += size
		g.Total += max(0, size-g.sizes[path])
		return nil
	})
	g.sizes = sizes
	return err
}
