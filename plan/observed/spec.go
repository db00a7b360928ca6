package observed

// WorkspaceSpec is a workspace in the form that is recorded, compared and executed. What the manifest declares
// and what a record says are both brought into this form, so that a plan after an apply is empty by construction.
type WorkspaceSpec struct {
	Name        string            `json:"name"` // on disk
	Project     string            `json:"project,omitempty"`
	Image       string            `json:"image"`        // normalised reference
	ImageDigest string            `json:"image_digest"` // "" is known after pull
	CPUs        int               `json:"cpus"`
	Memory      int64             `json:"memory"`
	DiskSize    int64             `json:"disk_size"`
	Mode        string            `json:"mode"` // "task", "service", "idle"
	Desired     string            `json:"desired"`
	Argv        []string          `json:"argv,omitempty"`       // as declared; empty: the image's own
	Entrypoint  []string          `json:"entrypoint,omitempty"` // as declared
	NoEntry     bool              `json:"no_entrypoint,omitempty"`
	Env         map[string]string `json:"env,omitempty"` // as declared; the image's is merged in at start
	User        string            `json:"user,omitempty"`
	Workdir     string            `json:"workdir,omitempty"`
	Timeout     int64             `json:"timeout,omitempty"`    // nanoseconds
	StopGrace   int64             `json:"stop_grace,omitempty"` // nanoseconds
	Isolation   string            `json:"isolation"`
	Mounts      []Mount           `json:"mounts,omitempty"`  // sorted by path
	Outputs     []SpecOutput      `json:"outputs,omitempty"` // of its task; sorted by name
}

// Hidden stands for the value of an environment variable wherever one would be shown. Records and saved plans hold
// the values, since apply and start need them; only their owner reads those files.
const Hidden = "(hidden)"

// HideEnv gives env with every value hidden.
func HideEnv(env map[string]string) map[string]string {
	if env == nil {
		return nil
	}
	hidden := make(map[string]string, len(env))
	for key := range env {
		hidden[key] = Hidden
	}
	return hidden
}

// Mount is one attachment.
type Mount struct {
	Path     string `json:"path"`
	Kind     string `json:"kind"`              // "volume", "bundle", "disk"
	Name     string `json:"name"`              // volume: on disk; bundle and disk: in the manifest
	Source   string `json:"source"`            // volume: its id, "" when it is yet to be made; bundle: its digest; disk: absolute path
	DiskID   string `json:"disk_id,omitempty"` // disk: which file it is, as Disk.ID
	ReadOnly bool   `json:"read_only,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Mode     uint32 `json:"mode,omitempty"`
}

// SpecOutput is an output that the workspace's task leaves.
type SpecOutput struct {
	Name     string `json:"name"`
	Path     string `json:"path"`
	Limit    int64  `json:"limit,omitempty"`
	Optional bool   `json:"optional,omitempty"`
	// MayBeUnchanged accepts what the run did not change.
	MayBeUnchanged bool `json:"may_be_unchanged,omitempty"`
}
