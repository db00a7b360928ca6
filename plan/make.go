package plan

import (
	"fmt"
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
	// ProjectGiven says that the project's name is not the manifest's own.
	ProjectGiven bool
	// MoveHere lets the project's manifest be another one than its record says.
	MoveHere bool
	// Rerun names workspaces, as in the manifest, whose task runs again although it need not.
	Rerun []string
	// Targets are addresses or names of workspaces; with some, only they and what they rest on are planned.
	Targets []string
	// OverwriteOutputs lets outputs replace what lies at their targets and no apply put there.
	OverwriteOutputs bool
	// AllowGit lets outputs bring git folders.
	AllowGit bool
	// AllowDataLoss names what may lose what is in it, "workspace/web" or "volume/data".
	AllowDataLoss []string
	// Net is one of NetPolicy, NetNone and NetPublic.
	Net string
	// Grants are those of --allow-net.
	Grants []spec.Grant
}

// Make computes what it takes to bring w to what m declares. The plan is whole also when the list has errors, for
// showing; it may be applied only when the list has none. Warnings are in the plan alone.
func Make(m *schema.Manifest, w *observed.World, o Options) (*Plan, diag.List) {
	p := newPlanner(m, w, o)
	p.planProject()
	p.proposeProject()
	p.planMoves()
	p.refuseEmpty()
	p.planVolumes()
	p.planBundles()
	p.planDisks()
	p.planUses()
	for _, name := range p.order.Sorted() {
		p.look(KindWorkspace, name, func() { p.planWorkspace(name) })
		p.planOutputsOf(name)
	}
	p.removeUndeclared(ReasonNotDeclared)
	p.proposeWorkspaces()
	p.moveRest()
	p.checkReruns()
	p.giveTurns()
	p.planImages()
	p.addDependencies()
	p.dependOnSources()
	p.addOrder()
	p.awaitRenames()
	p.checkLeases()
	p.conditionTurns()
	p.keepTargets()
	p.checkHost()
	p.checkPorts()
	p.checkNetworks()
	p.checkLoss()
	return p.finish()
}

// planner holds a plan while it is made.
type planner struct {
	manifest *schema.Manifest
	world    *observed.World
	options  Options
	plan     *Plan
	all      []*Change
	at       map[Address]*Change
	state    map[string]*workspaceState // by name in the manifest
	refusals []refusal
	about    Address // what is looked at now
	loose    map[loose]bool
	concerns map[Address]bool // with --target, what else a refusal may be about; nil: anything
	rerun    map[string]bool
	moves    moves
	lossUsed map[string]bool // of AllowDataLoss
	order    *schema.Order
	want     map[string]observed.WorkspaceSpec // of each declared workspace, by name in the manifest
	uses     []uses                            // of volumes and disks by workspaces that are to run
	writers  map[string][]string               // by workspace, those that write what it uses, each last before it
	made     map[string]string                 // bundles by what output they are made of
	pending  map[string]bool                   // those of made whose output comes in this plan
	turns    map[string][]string               // by workspace, those whose turn with what it uses is right before it
	given    map[string]*given                 // turns by who gives them
	// outputsOf are the outputs by the workspace they come from, bundlesOf the bundles that are made of these.
	outputsOf map[string][]spec.Output
	bundlesOf map[string][]string
}

// refusal is why a plan can't be applied, and about what; the zero address is the whole of it.
type refusal struct {
	diag.Diagnostic
	about Address
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
	// renamed says that it gets its name by this plan.
	renamed bool
	takes   takes // of its guest, while it runs
}

func newPlanner(m *schema.Manifest, w *observed.World, o Options) *planner {
	p := &planner{
		manifest: m, world: w, options: o,
		plan: &Plan{
			Format: Format, Tool: o.Tool, Project: m.Project, Manifest: o.ManifestPath, Changes: []Change{},
			Bound: map[string]string{}, Host: w.Host, AllowPaths: slices.Clone(o.AllowPaths),
		},
		lossUsed: map[string]bool{}, at: map[Address]*Change{}, state: map[string]*workspaceState{}, rerun: map[string]bool{}, order: m.Order(),
		want: map[string]observed.WorkspaceSpec{}, writers: map[string][]string{}, turns: map[string][]string{}, made: m.MadeOf(), pending: map[string]bool{}, given: map[string]*given{},
		loose: map[loose]bool{},
	}
	p.plan.Host.Missing = slices.Clone(w.Host.Missing)
	for _, name := range o.Rerun {
		p.rerun[name] = true
	}
	return p
}

func (p *planner) add(c Change) *Change {
	change := &c
	p.all = append(p.all, change)
	p.at[c.Address] = change
	return change
}

// bind makes the plan rest on a record as it is now, or on its absence.
func (p *planner) bind(kind, onDisk string) {
	key := kind + "/" + onDisk
	p.plan.Bound[key] = p.world.Records[key]
}

func (p *planner) fail(code string, pos diag.Pos, next, format string, args ...any) {
	p.refusals = append(p.refusals, refusal{diag.Diagnostic{
		Severity: diag.Error, Code: code, Summary: fmt.Sprintf(format, args...), Next: next, Pos: pos,
	}, p.about})
}

// look has what do refuses be about an object.
func (p *planner) look(kind Kind, name string, do func()) {
	before := p.about
	p.about = Address{kind, name}
	do()
	p.about = before
}

func (p *planner) warn(code string, pos diag.Pos, next, format string, args ...any) {
	p.plan.Warnings = append(p.plan.Warnings, diag.Diagnostic{
		Severity: diag.Warning, Code: code, Summary: fmt.Sprintf(format, args...), Next: next, Pos: pos,
	})
}

func (p *planner) finish() (*Plan, diag.List) {
	ordered, loop := order(p.all)
	for _, c := range loop {
		p.fail(CodeCycle, c.Pos, "declare one of them desired: stopped, apply, and take that out again",
			"%s waits for a volume or disk that another workspace gives up, in a circle", c.Address)
	}
	p.planSnapshots(ordered)
	for _, c := range ordered {
		p.plan.Changes = append(p.plan.Changes, *c)
	}
	var list diag.List
	for _, r := range p.refusals {
		if p.concern(r.about) {
			list.Add(r.Diagnostic)
		}
	}
	p.plan.Refusals = list.All()
	return p.plan, list
}
