package observed

// Effect is what a changed field costs.
type Effect string

// The effects, from the cheapest to the dearest.
const (
	// EffectIdentity fields are what two specs are matched by; they never differ.
	EffectIdentity Effect = "identity"
	// EffectCosmetic fields are recorded; a running guest is not affected.
	EffectCosmetic Effect = "cosmetic"
	// EffectLive fields are acted upon without a restart.
	EffectLive Effect = "live"
	// EffectRestart fields need the guest stopped and started; its files stay.
	EffectRestart Effect = "restart"
	// EffectComes fields are EffectLive, and EffectRestart when there was nothing before or is nothing after.
	EffectComes Effect = "comes"
	// EffectPlug fields are EffectLive where the VMM and the guest can take a disk while they run, and EffectRestart elsewhere.
	EffectPlug Effect = "plug"
	// EffectSize fields are EffectLive where the VMM and the guest take as much while they run, and EffectRestart elsewhere.
	EffectSize Effect = "size"
	// EffectNext fields are what a process has from its start: EffectLive where none but those that begin later are meant,
	// in a workspace that idles, and EffectRestart elsewhere.
	EffectNext Effect = "next"
	// EffectGrowOnly fields are EffectLive when they grow and EffectReplace when they shrink.
	EffectGrowOnly Effect = "grow-only"
	// EffectReplace fields need a new root file system.
	EffectReplace Effect = "replace"
)

// FieldPolicy is what a planner must know of one field of a WorkspaceSpec.
type FieldPolicy struct {
	Effect Effect
	// RunKey says that a task runs again when the field differs. A task's workspace takes fields without it at
	// the next run: they don't stop a run that is under way.
	RunKey bool
}

// WorkspacePolicy is the policy of every field of WorkspaceSpec, by its name in JSON.
var WorkspacePolicy = map[string]FieldPolicy{
	"name":          {EffectIdentity, false},
	"project":       {EffectIdentity, false},
	"image":         {EffectCosmetic, false}, // the digest decides
	"image_digest":  {EffectReplace, true},
	"cpus":          {EffectSize, false},
	"memory":        {EffectSize, false},
	"max_cpus":      {EffectCosmetic, false}, // from the next start on, as is the next
	"max_memory":    {EffectCosmetic, false},
	"disk_size":     {EffectGrowOnly, false},
	"mode":          {EffectRestart, false},
	"desired":       {EffectLive, false},
	"argv":          {EffectRestart, true},
	"entrypoint":    {EffectRestart, true},
	"no_entrypoint": {EffectRestart, true},
	"env":           {EffectNext, true},
	"user":          {EffectRestart, true},
	"workdir":       {EffectRestart, true},
	"hostname":      {EffectRestart, false},
	"timeout":       {EffectCosmetic, false},
	"stop_grace":    {EffectCosmetic, false},
	"isolation":     {EffectRestart, false},
	"boot":          {EffectCosmetic, false}, // from the next start on
	"mounts":        {EffectPlug, true},
	"ports":         {EffectLive, false},
	"network":       {EffectComes, false},
	"after":         {EffectCosmetic, false},
	"ready":         {EffectCosmetic, false},
	"restart":       {EffectCosmetic, false},
	"outputs":       {EffectCosmetic, false}, // what a run did not leave makes it run again
}
