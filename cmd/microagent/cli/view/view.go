// Package view is what the commands' --json shows of objects. Its shapes are promised to programs: a name never changes
// its meaning or goes, new ones may come. They are apart from what drivers keep and say among each other, which has its
// own reasons to change. Values of environment variables are never in it.
package view

// list is of, each shown; never null.
func list[T, V any](of []T, show func(T) V) []V {
	all := make([]V, len(of))
	for i, v := range of {
		all[i] = show(v)
	}
	return all
}
