package observed

import (
	"time"

	"microagent/schema/spec"
)

// WorkspaceSpec is a workspace in the form that is recorded, compared and executed. What the manifest declares
// and what a record says are both brought into this form, so that a plan after an apply is empty by construction.
type WorkspaceSpec struct {
	Name        string         `json:"name"` // on disk
	Project     string         `json:"project,omitempty"`
	Image       string         `json:"image"`        // normalised reference
	ImageDigest string         `json:"image_digest"` // "" is known after pull
	CPUs        int            `json:"cpus"`
	Memory      int64          `json:"memory"`
	MaxCPUs     int            `json:"max_cpus,omitempty"`   // 0: as many as CPUs
	MaxMemory   int64          `json:"max_memory,omitempty"` // 0: as much as Memory
	DiskSize    int64          `json:"disk_size"`
	Mode        spec.Mode      `json:"mode"`
	Desired     spec.Desired   `json:"desired"`
	Argv        []string       `json:"argv,omitempty"`       // as declared; empty: the image's own
	Entrypoint  []string       `json:"entrypoint,omitempty"` // as declared
	NoEntry     bool           `json:"no_entrypoint,omitempty"`
	spec.Guest                 // as declared; the image's config is merged in at start
	Timeout     time.Duration  `json:"timeout,omitempty"`
	StopGrace   time.Duration  `json:"stop_grace,omitempty"`
	Isolation   spec.Isolation `json:"isolation"`
	Boot        spec.Boot      `json:"boot,omitempty"`    // "" is a copy of a template where one fits
	Mounts      []spec.Mount   `json:"mounts,omitempty"`  // sorted by path
	Ports       []spec.Port    `json:"ports,omitempty"`   // of a manifest sorted by name
	Network     *spec.Network  `json:"network,omitempty"` // nil: none at all
	Ready       *spec.Ready    `json:"ready,omitempty"`
	Restart     spec.Restart   `json:"restart,omitempty"` // "" is the mode's own
	Outputs     []spec.Output  `json:"outputs,omitempty"` // of its task; sorted by name
	// After are the workspaces that come first, by name: those that a manifest names there, and those whose outputs it
	// mounts.
	After []spec.After `json:"after,omitempty"`
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
