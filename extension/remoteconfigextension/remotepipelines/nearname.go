package remotepipelines

import (
	"cmp"
	"slices"
)

// nearNames returns up to three names in known that resemble name, the nearest first.
func nearNames(name string, known []string) []string {
	type near struct {
		name     string
		distance int
	}
	var all []near
	for _, k := range known {
		if d := editDistance(name, k); d <= (len(name)+2)/3 {
			all = append(all, near{k, d})
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	names := make([]string, 0, 3)
	for _, n := range all[:min(3, len(all))] {
		names = append(names, n.name)
	}
	return names
}

// editDistance returns the Levenshtein distance in bytes. Underscores are free,
// because components were renamed to have them.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := 1; j <= len(b); j++ {
		row[j] = row[j-1] + cost(b[j-1])
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] += cost(a[i])
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+cost(a[i]), row[j]+cost(b[j]))
		}
	}
	return row[len(b)]
}

func cost(c byte) int {
	if c == '_' {
		return 0
	}
	return 1
}
