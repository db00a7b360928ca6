package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"microagent/plan/observed"
	"microagent/schema/spec"
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
	// Runs are of those that write what the task mounts, each before it, sorted. A key without them is as it was before
	// there was an order.
	Runs []string `json:"runs,omitempty"`
}

type runMount struct {
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Source   string `json:"source"`
	ReadOnly bool   `json:"read_only"`
	Owner    string `json:"owner"`
	Mode     uint32 `json:"mode"`
}

// RunKey identifies what a run of ws's task rests on: "v1:sha256:..." over image digest, incarnation of the root
// file system, digests of bundles, ids (never contents) of volumes and disks, and how the process is started. A task
// that ended well under the same key need not run again. Runs are the ids of the last runs that wrote the volumes and
// disks which it mounts after them; a key over any reads "v2:". The error is a *MissingPartError while a part is unknown.
func RunKey(ws observed.WorkspaceSpec, rootfsID string, runs ...string) (string, error) {
	missing := func(part string) (string, error) {
		return "", &MissingPartError{Workspace: ws.Name, Part: part}
	}
	if ws.ImageDigest == "" {
		return missing("image digest")
	}
	if rootfsID == "" {
		return missing("id of the root file system")
	}
	ws = normalize(ws)
	in := runInput{
		Image: ws.ImageDigest, RootFS: rootfsID, Argv: ws.Argv, Entrypoint: ws.Entrypoint, NoEntry: ws.NoEntry,
		Env: ws.Env, User: ws.User, Workdir: ws.Workdir, Runs: slices.Sorted(slices.Values(runs)),
	}
	for _, m := range ws.Mounts {
		if m.Source == "" {
			return missing(map[spec.MountKind]string{spec.MountVolume: "id of volume ", spec.MountBundle: "digest of bundle "}[m.Kind] + m.Name)
		}
		source := m.Source
		if m.Kind == spec.MountDisk && m.DiskID != "" {
			source = m.DiskID
		}
		in.Mounts = append(in.Mounts, runMount{m.Path, string(m.Kind), source, m.ReadOnly, m.Owner, m.Mode})
	}
	data, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("run key of workspace %s: %w", ws.Name, err)
	}
	sum := sha256.Sum256(data)
	version := "v1"
	if len(runs) > 0 {
		version = "v2"
	}
	return version + ":sha256:" + hex.EncodeToString(sum[:]), nil
}
