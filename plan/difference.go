package plan

import (
	"slices"
	"strings"

	"microagent/plan/observed"
)

// cause says where a difference comes from, from the weakest reason to the strongest.
type cause int

const (
	causeNone     cause = iota
	causeMade           // something it is made of is another incarnation
	causeContent        // the content behind the same declaration moved
	causeDeclared       // the declaration is another
)

// difference is what two specs of a workspace differ in.
type difference struct {
	fields []FieldChange
	effect observed.Effect // the dearest
	reruns []string        // what makes a task run again, in words
	// becomesTask says that it was none.
	becomesTask bool
	cause       cause // the strongest
	// desiredOnly says that nothing but the desired state differs.
	desiredOnly bool
}

func (d *difference) any() bool { return len(d.fields) > 0 }

// publishes says that ports of the host are taken or let go of.
func (d *difference) publishes() bool {
	return slices.ContainsFunc(d.fields, func(f FieldChange) bool { return strings.HasPrefix(f.Path, "ports.") })
}

// grows, environs and remounts say that the root file system grows, that what begins from now on has another environment, and that
// volumes or disks come and go, all while a guest runs.
func (d *difference) grows() bool    { return d.live("disk") }
func (d *difference) environs() bool { return d.live("env") }
func (d *difference) remounts() bool { return d.live("mounts") }

// resizes says that a guest gets other CPUs or memory while it runs.
func (d *difference) resizes() bool { return d.live("cpus") || d.live("memory") }

// touches says that the field differs.
func (d *difference) touches(field string) bool {
	return slices.ContainsFunc(d.fields, func(f FieldChange) bool { return f.Path == field })
}

// live says that the field, or one below it, changes without a restart.
func (d *difference) live(field string) bool {
	return slices.ContainsFunc(d.fields, func(f FieldChange) bool {
		return f.Effect == observed.EffectLive && (f.Path == field || strings.HasPrefix(f.Path, field+"."))
	})
}

// stops says that applying d to a running guest needs it stopped.
func (d *difference) stops() bool {
	return d.effect == observed.EffectRestart || d.effect == observed.EffectReplace
}

var effectRank = map[observed.Effect]int{
	observed.EffectCosmetic: 1, observed.EffectLive: 2, observed.EffectRestart: 3, observed.EffectReplace: 4,
}
