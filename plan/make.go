package plan

import (
	"fmt"
	"maps"
	"slices"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/spec"
)

// Format is the version of a plan as a document. Readers reject another one.
const Format = 1

// Options are what the command line adds to manifest and world.
type Options struct {
	Tool         string   // version of microagent
	ManifestPath string   // absolute
	AllowPaths   []string // of --allow-path
	// MoveHere lets the project's manifest be another one than its record says.
	MoveHere bool
	// Rerun names workspaces, as in the manifest, whose task runs again although it need not.
	Rerun []string
	// OverwriteOutputs lets outputs replace what lies at their targets and no apply put there.
	OverwriteOutputs bool
	// AllowGit lets outputs bring git folders.
	AllowGit bool
}

// Make computes what it takes to bring w to what m declares. The plan is whole also when the list has errors, for
// showing; it may be applied only when the list has none. Warnings are in the plan alone.
func Make(m *schema.Manifest, w *observed.World, o Options) (*Plan, diag.List) {
	k := newMaker(m, w, o)
	k.projectRecord()
	k.nothingDeclared()
	k.volumes()
	k.bundles()
	k.disks()
	for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
		k.workspace(name)
	}
	k.undeclared(ReasonNotDeclared)
	k.reruns()
	k.images()
	k.outputs()
	k.depend()
	k.leases()
	k.preflight()
	return k.finish()
}

// maker holds a plan while it is made.
type maker struct {
	m     *schema.Manifest
	w     *observed.World
	o     Options
	plan  *Plan
	all   []*Change
	at    map[Address]*Change
	state map[string]*workspaceState // by name in the manifest
	diags []diag.Diagnostic
	rerun map[string]bool
	// outputsOf are the outputs by the workspace they come from.
	outputsOf map[string][]spec.Output
}

// workspaceState is what is known of a declared workspace.
type workspaceState struct {
	name   string // in the manifest
	decl   schema.Workspace
	want   observed.WorkspaceSpec
	have   *observed.Workspace // nil: absent, or not to be touched
	diff   difference
	change *Change // of the workspace; nil when it is not to be touched
	task   *Change // nil unless the mode is task
}

func newMaker(m *schema.Manifest, w *observed.World, o Options) *maker {
	k := &maker{
		m: m, w: w, o: o,
		plan: &Plan{
			Format: Format, Tool: o.Tool, Project: m.Project, Manifest: o.ManifestPath, Changes: []Change{},
			Bound: map[string]string{}, Host: w.Host, AllowPaths: slices.Clone(o.AllowPaths),
		},
		at: map[Address]*Change{}, state: map[string]*workspaceState{}, rerun: map[string]bool{},
	}
	k.plan.Host.Missing = slices.Clone(w.Host.Missing)
	for _, name := range o.Rerun {
		k.rerun[name] = true
	}
	return k
}

func (k *maker) add(c Change) *Change {
	p := &c
	k.all = append(k.all, p)
	k.at[c.Address] = p
	return p
}

// bind makes the plan rest on a record as it is now, or on its absence.
func (k *maker) bind(kind, onDisk string) {
	key := kind + "/" + onDisk
	k.plan.Bound[key] = k.w.Records[key]
}

func (k *maker) fail(code string, pos diag.Pos, next, format string, args ...any) {
	k.diags = append(k.diags, diag.Diagnostic{
		Severity: diag.Error, Code: code, Summary: fmt.Sprintf(format, args...), Next: next, Pos: pos,
	})
}

func (k *maker) warn(code string, pos diag.Pos, next, format string, args ...any) {
	k.plan.Warnings = append(k.plan.Warnings, diag.Diagnostic{
		Severity: diag.Warning, Code: code, Summary: fmt.Sprintf(format, args...), Next: next, Pos: pos,
	})
}

func (k *maker) finish() (*Plan, diag.List) {
	ordered, loop := order(k.all)
	for _, c := range loop {
		k.fail(CodeCycle, c.Pos, "declare one of them desired: stopped, apply, and take that out again",
			"%s waits for a volume or disk that another workspace gives up, in a circle", c.Address)
	}
	for _, c := range ordered {
		k.plan.Changes = append(k.plan.Changes, *c)
	}
	k.plan.Errors = len(k.diags)
	var list diag.List
	for _, d := range k.diags {
		list.Add(d)
	}
	return k.plan, list
}
