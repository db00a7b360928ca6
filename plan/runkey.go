package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"microagent/plan/observed"
)

// MissingPartError says that a run key can't be computed yet.
type MissingPartError struct {
	Workspace string // on disk
	Part      string // "image digest", "id of volume counter.data"
}

func (e *MissingPartError) Error() string {
	return fmt.Sprintf("run key of workspace %s: %s is not known yet", e.Workspace, e.Part)
}

// runInput is what decides whether a task must run again. Its JSON is hashed, so that a change to a name, a type or
// the order of its fields needs a new version in RunKey.
type runInput struct {
	Image      string            `json:"image"`
	RootFS     string            `json:"rootfs"`
	Argv       []string          `json:"argv"`
	Entrypoint []string          `json:"entrypoint"`
	NoEntry    bool              `json:"no_entrypoint"`
	Env        map[string]string `json:"env"`
	User       string            `json:"user"`
	Workdir    string            `json:"workdir"`
	Mounts     []runMount        `json:"mounts"`
}

type runMount struct {
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Source   string `json:"source"`
	ReadOnly bool   `json:"read_only"`
	Owner    string `json:"owner"`
	Mode     uint32 `json:"mode"`
}

// RunKey identifies what a run of spec's task rests on: "v1:sha256:..." over image digest, incarnation of the root
// file system, digests of bundles, ids (never contents) of volumes and disks, and how the process is started. A task
// that ended well under the same key need not run again. The error is a *MissingPartError while a part is unknown.
func RunKey(spec observed.WorkspaceSpec, rootfsID string) (string, error) {
	missing := func(part string) (string, error) {
		return "", &MissingPartError{Workspace: spec.Name, Part: part}
	}
	if spec.ImageDigest == "" {
		return missing("image digest")
	}
	if rootfsID == "" {
		return missing("id of the root file system")
	}
	spec = normal(spec)
	in := runInput{
		Image: spec.ImageDigest, RootFS: rootfsID, Argv: spec.Argv, Entrypoint: spec.Entrypoint, NoEntry: spec.NoEntry,
		Env: spec.Env, User: spec.User, Workdir: spec.Workdir,
	}
	for _, m := range spec.Mounts {
		if m.Source == "" {
			return missing(map[string]string{"volume": "id of volume ", "bundle": "digest of bundle "}[m.Kind] + m.Name)
		}
		source := m.Source
		if m.Kind == "disk" && m.DiskID != "" {
			source = m.DiskID
		}
		in.Mounts = append(in.Mounts, runMount{m.Path, m.Kind, source, m.ReadOnly, m.Owner, m.Mode})
	}
	data, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("run key of workspace %s: %w", spec.Name, err)
	}
	sum := sha256.Sum256(data)
	return "v1:sha256:" + hex.EncodeToString(sum[:]), nil
}
