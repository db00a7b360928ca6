package spec

// Until is how far another workspace has to be before one that comes after it starts.
type Until string

const (
	// UntilStarted: its guest boots or runs, or its task has ended well.
	UntilStarted Until = "started"
	// UntilReady: its readiness probe succeeded in this start. Not of a task.
	UntilReady Until = "ready"
	// UntilCompleted: the run of its task that is declared now has ended well. Only of a task.
	UntilCompleted Until = "completed"
)

// After says that a workspace starts only once another of its project has come so far.
type After struct {
	Workspace string `json:"workspace"` // as in the manifest
	Until     Until  `json:"until"`
}
