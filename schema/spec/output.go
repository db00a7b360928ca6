package spec

// Output is a guest path that is brought into the workspace's folder when a task ends.
type Output struct {
	Name  string `json:"name"`
	Path  string `json:"path"`            // absolute, clean
	Limit int64  `json:"limit,omitempty"` // bytes; 0 means the driver's default
	// Optional outputs may be missing.
	Optional bool `json:"optional,omitempty"`
	// MayBeUnchanged accepts an output of which the run changed nothing; else it counts as missing.
	MayBeUnchanged bool `json:"may_be_unchanged,omitempty"`
}
