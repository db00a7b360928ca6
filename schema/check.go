package schema

// checker looks at what takes more than one value to see: references, exclusions, conflicts, paths.
type checker struct {
	*report
	root    *node
	m       *Manifest
	own     string // the manifest's own file name
	outside func(string) bool
}

func (c *checker) all() {
}
