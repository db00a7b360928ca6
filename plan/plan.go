// Package plan says what an apply would do: Make compares a manifest with the observed world, Destroy takes a
// project down, and both give a Plan, a value that apply executes without deciding anything. It touches nothing: no
// files, network, processes, clock or randomness, and the same input gives the same plan, byte for byte. No plan ever
// deletes a volume that --allow-data-loss does not name. apply and the commands import it.
package plan

import (
	"microagent/plan/observed"
	"microagent/schema/diag"
	"microagent/schema/spec"
)

// Address names one object of a plan: "volume/data".
type Address struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // as in the manifest; for KindImage the normalised reference
}

// String gives kind/name.
func (a Address) String() string { return string(a.Kind) + "/" + a.Name }

// Kind is a kind of object.
type Kind string

// The kinds, in the order in which a stage lists them.
const (
	KindProject   Kind = "project" // its record: where the manifest is
	KindImage     Kind = "image"
	KindVolume    Kind = "volume"
	KindBundle    Kind = "bundle"
	KindDisk      Kind = "disk"
	KindWorkspace Kind = "workspace"
	KindRename    Kind = "rename" // of the workspace with the same name, which it gets by that
	KindTurn      Kind = "turn"   // of the workspace with the same name, with a volume or disk: it stops for another's
	KindTask      Kind = "task"   // the task of the workspace with the same name
	KindReady     Kind = "ready"  // the readiness of the workspace with the same name
	KindOutput    Kind = "output"
)

// Action is what apply does to an object. A plan lists an object with ActionNone or ActionKeep only to tell.
//
// For workspaces: the new spec is Change.Workspace, and it differs from the recorded one exactly when Change.Fields is
// not empty. Every action but delete ends with that spec recorded. "Start" below means: unless the spec's desired
// state is stopped, or its mode is task; a task is started by the change of its own (KindTask) alone.
type Action string

const (
	ActionNone    Action = "none"    // as declared
	ActionPull    Action = "pull"    // image: bring it into the store
	ActionBuild   Action = "build"   // bundle: make its disk
	ActionCreate  Action = "create"  // volume, workspace (a workspace is started as well unless desired is stopped)
	ActionMove    Action = "move"    // give it another name; volume: and grow or protect it as declared; rename: once it is stopped
	ActionGrow    Action = "grow"    // volume
	ActionUpdate  Action = "update"  // the record only; a workspace that runs goes on and takes the rest at its next start
	ActionRestart Action = "restart" // workspace: stop if it runs, record the spec, start; its files stay
	ActionReplace Action = "replace" // workspace: stop if it runs, new root file system and spec, start; volume: delete it, and make it anew
	ActionStart   Action = "start"   // workspace: record the spec when Fields is not empty, start
	ActionStop    Action = "stop"    // workspace: stop, record the spec when Fields is not empty; turn: stop
	ActionRun     Action = "run"     // task
	ActionWait    Action = "wait"    // task, workspace: this very run or start is under way; ready: until it is
	ActionCollect Action = "collect" // output: bring what the run left to the host
	ActionDelete  Action = "delete"  // workspace, bundle record
	ActionKeep    Action = "keep"    // volume that is no longer declared: stays, and the plan says so
)

// Reason is why, for programs. It is for show and never decides anything in apply.
type Reason string

const (
	ReasonAbsent        Reason = "absent"          // declared and not there
	ReasonFieldChanged  Reason = "field_changed"   // see Fields
	ReasonDigestChanged Reason = "digest_changed"  // the content behind an unchanged declaration moved
	ReasonDependency    Reason = "dependency"      // something it is made of is new or changed
	ReasonDrifted       Reason = "drifted"         // the world left the recorded state by itself
	ReasonFailed        Reason = "failed"          // the last run failed or was lost
	ReasonUnfinished    Reason = "unfinished"      // an earlier apply did not get this far
	ReasonNeverRun      Reason = "never_run"       //
	ReasonUnderWay      Reason = "under_way"       //
	ReasonMissingOutput Reason = "missing_output"  //
	ReasonNotDeclared   Reason = "not_in_manifest" //
	ReasonRequested     Reason = "requested"       // by a flag or by destroy
	ReasonDesired       Reason = "desired_state"   // desired: stopped, or running again
)

// Danger is what a change costs its user besides time.
type Danger string

const (
	DangerNone     Danger = ""
	DangerDowntime Danger = "downtime"  // a running guest is stopped
	DangerSetAside Danger = "set_aside" // files outside volumes are kept until the next replacement or prune
	DangerDataLoss Danger = "data_loss" // a volume's files are lost, or those outside volumes may be: the user gave them up by name
)

// FieldChange is one field before and after, as text for people and programs. Effect is what such a change costs a
// workspace or volume that is in use: cosmetic, live, restart or replace; "" where there was none before. Forces marks the
// fields that make the change a replacement.
type FieldChange struct {
	Path   string `json:"path"` // "memory", "mounts./work.volume"
	Before string `json:"before"`
	After  string `json:"after"`
	Forces bool   `json:"forces,omitempty"`

	Effect observed.Effect `json:"effect,omitempty"`
	// Why a field is EffectRestart that others change without: in words, "" where that needs none.
	Why string `json:"why,omitempty"`
}

// Change is one node of the plan: one operation on one object. What it works on is in the field of its kind,
// whole, so that apply needs neither manifest nor memory.
type Change struct {
	Address Address       `json:"address"`
	Action  Action        `json:"action"`
	Reason  Reason        `json:"reason,omitempty"`
	Detail  string        `json:"detail,omitempty"` // one sentence for people
	Fields  []FieldChange `json:"fields,omitempty"` // sorted by path
	Danger  Danger        `json:"danger,omitempty"`
	Warning string        `json:"warning,omitempty"` // the danger in words
	// Loss says that --allow-data-loss names the object: what can't be kept of it is lost.
	Loss bool `json:"allow_data_loss,omitempty"`
	// Deps are the changes of this plan that must be done before. Only changes that do something are named.
	Deps []Address `json:"deps,omitempty"`
	// After are the workspaces that come first, as far as this plan brings them there. Deps has the changes that do, but
	// for those that have to be started only: see Begun.
	After []Wait `json:"after,omitempty"`

	// If are causes of which one has to hold, or nothing is done; none means always. See Needed.
	If []Cause `json:"if,omitempty"`

	Image     *ImageObject            `json:"image,omitempty"`
	Volume    *VolumeObject           `json:"volume,omitempty"`
	Bundle    *BundleObject           `json:"bundle,omitempty"`
	Publish   bool                    `json:"publish,omitempty"`   // ActionUpdate: of a workspace that runs, whose ports change
	Permit    bool                    `json:"permit,omitempty"`    // ActionUpdate: of a workspace that runs, which may reach something else
	GrowRoot  bool                    `json:"grow_root,omitempty"` // ActionUpdate: of a workspace that runs, whose root file system grows
	SetEnv    bool                    `json:"set_env,omitempty"`   // ActionUpdate: of a workspace that runs, where what begins later has another environment
	Resize    bool                    `json:"resize,omitempty"`    // ActionUpdate: of a workspace that runs, which gets CPUs and memory of Workspace
	Mount     bool                    `json:"mount,omitempty"`     // ActionUpdate: of a workspace that runs, which gets the mounts of Workspace
	Workspace *observed.WorkspaceSpec `json:"workspace,omitempty"` // also for KindTask: what it runs in
	// Snapshots are made first, once the guest is stopped.
	Snapshots []SnapshotObject `json:"snapshots,omitempty"`
	Rename    *RenameObject    `json:"rename,omitempty"`
	Output    *OutputObject    `json:"output,omitempty"`
	Project   *ProjectObject   `json:"project,omitempty"`
	RunKey    string           `json:"run_key,omitempty"` // KindTask; "" is known when its parts are: see RunKey
	Writers   []string         `json:"writers,omitempty"` // KindTask: whose newest runs are parts of its run key, by name on disk
	Pos       diag.Pos         `json:"pos,omitzero"`
}

// InPlace says that a workspace is changed while it runs.
func (c *Change) InPlace() bool {
	return c.Publish || c.Permit || c.GrowRoot || c.SetEnv || c.Mount || c.Resize
}

// Does says whether apply has something to do for this change.
func (c *Change) Does() bool { return c.Action != ActionNone && c.Action != ActionKeep }

// ProjectObject is a project's record.
type ProjectObject struct {
	Manifest string `json:"manifest"` // absolute
	// From are the projects that become this one; ActionMove comes once their objects have.
	From []string `json:"from,omitempty"`
}

// RenameObject is a workspace that gets another name. It is stopped for that.
type RenameObject struct {
	From string `json:"from"` // on disk
	Name string `json:"name"` // on disk
}

// ImageObject is an image to bring in.
type ImageObject struct {
	Ref    string `json:"ref"`              // as written
	Digest string `json:"digest,omitempty"` // "" is known after pull
	Size   int64  `json:"size,omitempty"`   // 0 is unknown
}

// VolumeObject is a volume to make or grow.
type VolumeObject struct {
	Name      string `json:"name"` // on disk
	Size      int64  `json:"size"`
	Protected bool   `json:"protected,omitempty"`
	From      string `json:"from,omitempty"` // ActionMove: the name that it has now, on disk
	// Source is what a new one begins with, a volume or a snapshot of one, by names on disk; "" for nothing.
	Source string `json:"source,omitempty"`
	// Image and Bundle are what it begins with instead: a file, as written, or the files of a bundle, by its digest.
	Image  string `json:"image,omitempty"`
	Bundle string `json:"bundle,omitempty"`
	// Holder is the workspace of the project that has it now, and is stopped for a move or a replacement; "" for none.
	Holder string `json:"holder,omitempty"`
}

// SnapshotObject is a snapshot to make.
type SnapshotObject struct {
	Volume string `json:"volume"` // on disk
	Keep   int    `json:"keep"`   // how many of those that applies made stay
}

// BundleObject is a bundle to make.
type BundleObject struct {
	Name    string   `json:"name"` // on disk
	Source  string   `json:"source"`
	Exclude []string `json:"exclude,omitempty"`
	Digest  string   `json:"digest"` // "" is known once Output has come
	// Output is the output that the bundle is made of, "" for a source that is the user's.
	Output string `json:"output,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"` // of the files that are read to build it; 0 is none or unknown
	Was    string `json:"was,omitempty"`   // of one with causes: its digest when none holds
	From   string `json:"from,omitempty"`  // the name on disk of the record that this one takes the place of
}

// OutputObject is an output to bring to the host.
type OutputObject struct {
	Name      string `json:"name"`
	Workspace string `json:"workspace"` // on disk
	Path      string `json:"path"`
	To        string `json:"to"` // relative to the manifest
	Optional  bool   `json:"optional,omitempty"`
	Limit     int64  `json:"limit,omitempty"`
	// Ours are the digests of what earlier applies may have put at To. Whatever else lies there is refused,
	// unless Overwrite says otherwise or it is what the run left anyway.
	Ours      []string `json:"ours,omitempty"`
	Overwrite bool     `json:"overwrite,omitempty"`
	AllowGit  bool     `json:"allow_git,omitempty"` // the user asked for git folders
}

// Plan is what apply executes. It is a value: computing it touches nothing, and apply decides nothing.
type Plan struct {
	Format  int    `json:"format"` // of this document; other majors are rejected
	Tool    string `json:"tool"`
	Project string `json:"project"`
	// Manifest is the absolute path of the manifest; apply opens sources and outputs beneath its folder.
	Manifest string `json:"manifest"`
	// Destroy says that the plan was made by destroy.
	Destroy bool `json:"destroy,omitempty"`
	// Targets are what the plan was made for alone, when that is not the whole manifest.
	Targets []string `json:"targets,omitempty"`
	// Changes are in a stable order in which every change comes after its Deps.
	Changes []Change `json:"changes"`
	// Bound is the digest of every record the plan rests on, "" for one that must be absent, by the
	// record's kind/name on disk. Apply refuses when one of them is another.
	Bound map[string]string `json:"bound"`
	// Host says what would run the workspaces.
	Host spec.Host `json:"host"`
	// Capacity is what it needs of the host.
	Capacity Capacity `json:"capacity,omitzero"`
	// AllowPaths are the folders of --allow-path.
	AllowPaths []string `json:"allow_paths,omitempty"`
	// Refusals forbid to apply this plan, which is for showing then; in the order of their places.
	Refusals []diag.Diagnostic `json:"refusals,omitempty"`
	// Warnings do not stop an apply.
	Warnings []diag.Diagnostic `json:"warnings,omitempty"`
}

// Capacity is what a plan needs of the host, as far as it is known, in bytes. What is free is in Host.
type Capacity struct {
	Written int64 `json:"written"` // at least, by what is pulled and built
	Disks   int64 `json:"disks"`   // more, at most, once the volumes and root file systems that are made or grow are full
	Memory  int64 `json:"memory"`  // more, at once, of the guests that start
	Ports   int   `json:"ports"`   // of the host, published by number by the guests that start
}

// Refused says whether every refusal of p is one for safety: the input is right, and the user has to say more, or act
// on something else, before it is done.
func (p *Plan) Refused() bool {
	for _, d := range p.Refusals {
		if !Refused(d.Code) {
			return false
		}
	}
	return len(p.Refusals) > 0
}

// Empty says that apply would have nothing to do.
func (p *Plan) Empty() bool {
	for i := range p.Changes {
		if p.Changes[i].Does() {
			return false
		}
	}
	return true
}
