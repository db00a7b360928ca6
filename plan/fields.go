package plan

import (
	"cmp"
	"slices"
	"strconv"

	"microagent/plan/observed"
	"microagent/schema/spec"
)

type comparison struct {
	difference
	grew  bool   // the disk, while it is compared
	comes bool   // the field at hand, or goes
	idles bool   // it did, and does
	plugs bool   // mounts change while it runs
	size  taken  // of CPUs or memory, while they are compared
	label string // what to call the field at hand, "" for its path
}

// compare finds how want differs from have: both name the same workspace, whose guest takes so much while it runs.
func compare(have, want *observed.WorkspaceSpec, t takes) difference {
	var c comparison
	c.plugs = t.mounts
	c.idles = have.Mode == spec.ModeIdle && want.Mode == spec.ModeIdle
	c.becomesTask = want.Mode == spec.ModeTask && have.Mode != spec.ModeTask
	c.compareText("image", "image", have.Image, want.Image)
	c.compareDigest("image_digest", "image.digest", have.ImageDigest, want.ImageDigest)
	c.size = t.cpus
	c.compareText("cpus", "cpus", strconv.Itoa(have.CPUs), strconv.Itoa(want.CPUs))
	c.size = t.memory
	c.compareText("memory", "memory", sizeText(have.Memory), sizeText(want.Memory))
	c.compareText("max_cpus", "maxCpus", countText(have.MaxCPUs), countText(want.MaxCPUs))
	c.compareText("max_memory", "maxMemory", sizeText(have.MaxMemory), sizeText(want.MaxMemory))
	c.grew = want.DiskSize > have.DiskSize
	c.compareText("disk_size", "disk", sizeText(have.DiskSize), sizeText(want.DiskSize))
	c.compareText("mode", "mode", string(have.Mode), string(want.Mode))
	c.compareText("desired", "desired", string(have.Desired), string(want.Desired))
	c.compareText("argv", "command", commandText(have.Argv, false), commandText(want.Argv, false))
	c.compareText("entrypoint", "entrypoint", commandText(have.Entrypoint, have.NoEntry), commandText(want.Entrypoint, want.NoEntry))
	c.compareEnv(have.Env, want.Env)
	before, after := have.Texts(), want.Texts()
	for i, t := range before {
		c.compareText(t.Key, t.Key, *t.Value, *after[i].Value)
	}
	c.compareText("timeout", "timeout", durationText(have.Timeout), durationText(want.Timeout))
	c.compareText("stop_grace", "stopGrace", durationText(have.StopGrace), durationText(want.StopGrace))
	c.compareText("restart", "restart", string(have.Restart), string(want.Restart))
	c.compareReady(have.Ready, want.Ready)
	c.compareText("isolation", "isolation", string(have.Isolation), string(want.Isolation))
	c.compareText("boot", "boot", bootText(have.Boot), bootText(want.Boot))
	c.compareMounts(have.Mounts, want.Mounts)
	c.comparePorts(have.Ports, want.Ports)
	c.compareNetwork(have.Network, want.Network)
	c.compareOutputs(have.Outputs, want.Outputs)
	c.compareAfter(have.After, want.After)
	slices.SortFunc(c.fields, func(a, b FieldChange) int { return cmp.Compare(a.Path, b.Path) })
	slices.Sort(c.reruns)
	c.desiredOnly = len(c.fields) == 1 && c.fields[0].Path == "desired"
	return c.difference
}

func (c *comparison) compareText(field, path, before, after string) {
	c.add(field, path, before, after, causeDeclared)
}

func (c *comparison) compareDigest(field, path, before, after string) {
	if before == after && after != "" {
		return
	}
	if after == "" {
		after = "known after pull"
	}
	c.add(field, path, before, after, causeContent)
}

// knownAfter stands for what only the apply itself can know.
const knownAfter = "known after apply"

func (c *comparison) add(field, path, before, after string, why cause) {
	if before == after {
		return
	}
	p := observed.WorkspacePolicy[field]
	effect := c.effectOf(p.Effect)
	if effectRank[effect] > effectRank[c.effect] {
		c.effect = effect
	}
	if p.RunKey {
		c.reruns = append(c.reruns, cmp.Or(c.label, path))
	}
	c.cause = max(c.cause, why)
	change := FieldChange{Path: path, Before: before, After: after, Forces: effect == observed.EffectReplace, Effect: effect}
	if p.Effect == observed.EffectSize {
		change.Why = c.size.why
	}
	c.fields = append(c.fields, change)
}

// effectOf is what a change of the field at hand costs, where that depends on more than the field.
func (c *comparison) effectOf(e observed.Effect) observed.Effect {
	dear, live := observed.EffectRestart, false
	switch e {
	case observed.EffectGrowOnly:
		dear, live = observed.EffectReplace, c.grew
	case observed.EffectNext:
		live = c.idles
	case observed.EffectSize:
		live = c.size.live
	case observed.EffectPlug:
		live = c.plugs
	case observed.EffectComes:
		live = !c.comes
	default:
		return e
	}
	if live {
		return observed.EffectLive
	}
	return dear
}

// compareEnv tells which variables differ and never their values: plans end up in logs.
func (c *comparison) compareEnv(have, want map[string]string) {
	for key, before := range have {
		after, ok := want[key]
		switch {
		case !ok:
			c.compareText("env", "env."+key, observed.Hidden, "")
		case before != after:
			c.compareText("env", "env."+key, observed.Hidden, observed.Hidden+", changed")
		}
	}
	for key := range want {
		if _, ok := have[key]; !ok {
			c.compareText("env", "env."+key, "", observed.Hidden)
		}
	}
}

func (c *comparison) compareMounts(have, want []spec.Mount) {
	eachPair(have, want, func(m spec.Mount) string { return m.Path }, func(before, after *spec.Mount) {
		switch {
		case before == nil:
			c.compareText("mounts", "mounts."+after.Path, "", mountText(after))
		case after == nil:
			c.compareText("mounts", "mounts."+before.Path, mountText(before), "")
		case before.Kind != after.Kind || before.Name != after.Name:
			c.compareText("mounts", "mounts."+after.Path, mountText(before), mountText(after))
		default:
			c.compareMount(before, after)
		}
	})
}

func (c *comparison) compareMount(before, after *spec.Mount) {
	path := "mounts." + after.Path
	switch after.Kind {
	case spec.MountDisk:
		c.compareText("mounts", path+".path", before.Source, after.Source)
		if before.Source == after.Source {
			c.label = "the file of disk " + after.Name
			c.add("mounts", path+".file", before.DiskID, after.DiskID, causeMade)
		}
	case spec.MountBundle:
		c.label = "bundle " + after.Name
		c.add("mounts", path+".digest", before.Source, cmp.Or(after.Source, knownAfter), causeContent)
	default:
		source := after.Source
		if source == "" {
			source = knownAfter
		}
		c.label = "volume " + after.Name
		c.add("mounts", path+".id", before.Source, source, causeMade)
	}
	c.label = ""
	c.compareText("mounts", path+".readOnly", strconv.FormatBool(before.ReadOnly), strconv.FormatBool(after.ReadOnly))
	c.compareText("mounts", path+".owner", before.Owner, after.Owner)
	c.compareText("mounts", path+".mode", modeText(before.Mode), modeText(after.Mode))
}

func (c *comparison) compareOutputs(have, want []spec.Output) {
	eachPair(have, want, func(o spec.Output) string { return o.Name }, func(before, after *spec.Output) {
		switch {
		case before == nil:
			c.compareText("outputs", "outputs."+after.Name, "", after.Path)
		case after == nil:
			c.compareText("outputs", "outputs."+before.Name, before.Path, "")
		default:
			path := "outputs." + after.Name
			c.compareText("outputs", path+".path", before.Path, after.Path)
			c.compareText("outputs", path+".optional", strconv.FormatBool(before.Optional), strconv.FormatBool(after.Optional))
			c.compareText("outputs", path+".unchanged", unchangedText(before), unchangedText(after))
			c.compareText("outputs", path+".limit", sizeText(before.Limit), sizeText(after.Limit))
		}
	})
}

func (c *comparison) compareAfter(have, want []spec.After) {
	text := func(a *spec.After) string {
		if a == nil {
			return ""
		}
		return string(a.Until)
	}
	eachPair(have, want, func(a spec.After) string { return a.Workspace }, func(before, after *spec.After) {
		c.compareText("after", "after."+cmp.Or(before, after).Workspace, text(before), text(after))
	})
}

// comparePorts tells a port by its name, which those of a manifest all have.
func (c *comparison) comparePorts(have, want []spec.Port) {
	text := func(p *spec.Port) string {
		if p == nil {
			return ""
		}
		return p.String()
	}
	eachPair(have, want, func(p spec.Port) string { return p.Name }, func(before, after *spec.Port) {
		name := cmp.Or(before, after).Name
		c.compareText("ports", "ports."+name, text(before), text(after))
	})
}

func (c *comparison) compareReady(have, want *spec.Ready) {
	var before, after spec.Ready
	if have != nil {
		before = *have
	}
	if want != nil {
		after = *want
	}
	text := func(r spec.Ready) string {
		if r.Kind() == "" {
			return ""
		}
		return r.Probe()
	}
	c.compareText("ready", "ready", text(before), text(after))
	if have == nil || want == nil {
		return
	}
	c.compareText("ready", "ready.interval", durationText(before.Interval), durationText(after.Interval))
	c.compareText("ready", "ready.timeout", durationText(before.Timeout), durationText(after.Timeout))
	c.compareText("ready", "ready.startPeriod", durationText(before.StartPeriod), durationText(after.StartPeriod))
	c.compareText("ready", "ready.failures", countText(before.Failures), countText(after.Failures))
	c.compareText("ready", "ready.onLoss", string(before.OnLoss), string(after.OnLoss))
}

// eachPair visits the union of two lists by key; an element that one of them lacks is nil.
func eachPair[T any](have, want []T, key func(T) string, visit func(before, after *T)) {
	left := make(map[string]*T, len(have))
	for i := range have {
		left[key(have[i])] = &have[i]
	}
	for i := range want {
		k := key(want[i])
		visit(left[k], &want[i])
		delete(left, k)
	}
	for i := range have {
		if _, ok := left[key(have[i])]; ok {
			visit(&have[i], nil)
		}
	}
}
