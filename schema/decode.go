package schema

import (
	"errors"
	"path"
	"strconv"
	"strings"
	"time"

	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// decoder makes typed values of what conforms. What was reported as bad stays at its zero value, or its default.
type decoder struct {
	*report
}

// fields reads the fields of one object.
type fields struct {
	decoder
	n  *node
	f  *format
	at address
}

func (d decoder) manifest(n *node, f *format) *Manifest {
	root := fields{d, n, f, nil}
	m := &Manifest{
		Project:    root.text("project"),
		Volumes:    map[string]Volume{},
		Bundles:    map[string]Bundle{},
		Disks:      map[string]Disk{},
		Workspaces: map[string]Workspace{},
		Outputs:    map[string]Output{},
	}
	if p := n.get("project"); p != nil {
		m.Pos = d.pos(p.at)
	}
	root.each("volumes", func(name string, e *entry, o fields) {
		v := Volume{Size: o.disk("size"), External: o.bool("external"), Protected: o.maybe("protected"), Pos: d.pos(e.at)}
		o.object("from", func(o fields) {
			v.From = VolumeFrom{Volume: o.text("volume"), Snapshot: o.text("snapshot"), Image: o.text("image"), Bundle: o.text("bundle"), Pos: d.pos(o.n.at)}
		})
		o.object("snapshot", func(o fields) {
			v.Snapshot = &VolumeSnapshot{Before: SnapshotBefore(o.text("before")), Keep: o.int("keep")}
		})
		m.Volumes[name] = v
	})
	root.each("bundles", func(name string, e *entry, o fields) {
		m.Bundles[name] = Bundle{Source: o.text("source"), Exclude: o.list("exclude"), Pos: d.pos(o.place("source", e.at))}
	})
	root.each("disks", func(name string, e *entry, o fields) {
		m.Disks[name] = Disk{Path: o.text("path"), Pos: d.pos(o.place("path", e.at))}
	})
	root.each("workspaces", func(name string, e *entry, o fields) {
		m.Workspaces[name] = o.workspace(e)
	})
	root.each("outputs", func(name string, e *entry, o fields) {
		m.Outputs[name] = Output{
			From: o.text("from"), Path: o.guestPath("path"), To: o.text("to"), Optional: o.bool("optional"),
			Unchanged: o.text("unchanged"),
			Limit:     o.size("limit"), Pos: d.pos(e.at),
		}
	})
	root.items("moved", func(o fields) {
		one := Moved{Volume: o.text("volume"), Workspace: o.text("workspace"), Project: o.text("project"), To: o.text("to"), Pos: d.pos(o.n.at)}
		for _, kind := range movedKinds {
			one.Pos = d.pos(o.place(kind.key, o.n.at))
			if o.n.entry(kind.key) != nil {
				break
			}
		}
		m.Moved = append(m.Moved, one)
	})
	return m
}

func (o fields) workspace(e *entry) Workspace {
	w := Workspace{
		Image:      o.text("image"),
		CPUs:       o.int("cpus"),
		Memory:     o.memory("memory"),
		MaxCPUs:    o.int("maxCpus"),
		MaxMemory:  o.memory("maxMemory"),
		Disk:       o.disk("disk"),
		Guest:      o.guest(),
		Entrypoint: o.list("entrypoint"),
		Task:       o.list("task"),
		Service:    o.list("service"),
		Timeout:    o.duration("timeout"),
		StopGrace:  o.duration("stopGrace"),
		Desired:    spec.Desired(o.text("desired")),
		Isolation:  spec.Isolation(o.text("isolation")),
		Boot:       spec.Boot(o.text("boot")),
		Mounts:     map[string]Mount{},
		Ports:      map[string]spec.Port{},
		After:      map[string]After{},
		Pos:        o.pos(e.at),
		ImagePos:   o.pos(o.place("image", e.at)),
	}
	o.each("mounts", func(guest string, e *entry, m fields) {
		w.Mounts[path.Clean(guest)] = Mount{
			Volume:   m.text("volume"),
			Bundle:   m.text("bundle"),
			Disk:     m.text("disk"),
			ReadOnly: m.bool("readOnly") || m.n.get("bundle") != nil,
			Owner:    m.text("owner"),
			Mode:     m.mode("mode"),
			Pos:      o.pos(e.at),
		}
	})
	o.each("ports", func(name string, e *entry, p fields) {
		port, err := spec.ManifestPort(name, p.text("guest"), p.text("host"), p.text("protocol"))
		if err == nil {
			w.Ports[name] = port
		}
	})
	o.each("after", func(name string, e *entry, _ fields) {
		if !e.bad && !e.value.bad {
			w.After[name] = After{spec.Until(e.value.text), o.pos(e.at)}
		}
	})
	w.Restart = spec.Restart(o.text("restart"))
	o.object("ready", func(p fields) { w.Ready = p.ready() })
	o.object("network", func(p fields) { w.Network, w.RulePos = p.network() })
	return w
}

func (o fields) ready() *spec.Ready {
	return &spec.Ready{
		Exec: o.list("exec"), Port: uint16(o.int("port")), Log: o.text("log"), File: o.guestPath("file"),
		Interval: time.Duration(o.duration("interval")), Timeout: time.Duration(o.duration("timeout")),
		StartPeriod: time.Duration(o.duration("startPeriod")), Failures: o.int("failures"), OnLoss: spec.OnLoss(o.text("onLoss")),
	}
}

// object visits a field that has fields, when it is there.
func (o fields) object(name string, visit func(o fields)) {
	if n := o.n.get(name); n != nil && !n.bad {
		visit(fields{o.decoder, n, o.f.fields[name], o.at.with(name)})
	}
}

// guest reads the keys that the guest acts on.
func (o fields) guest() spec.Guest {
	g := spec.Guest{Env: map[string]string{}}
	for _, t := range g.Texts() {
		*t.Value = o.text(t.Key)
		if o.f.fields[t.Key].name == "#GuestPath" {
			*t.Value = o.guestPath(t.Key)
		}
	}
	if env := o.n.get("env"); env != nil && !env.bad {
		for _, v := range env.entries {
			if !v.bad && !v.value.bad {
				g.Env[v.key] = v.value.text
			}
		}
	}
	return g
}

// each goes through the objects of a section. Their names may be bad, so that what refers to them is not reported.
func (o fields) each(section string, visit func(name string, e *entry, o fields)) {
	n, f := o.n.get(section), o.f.fields[section]
	if n == nil || n.bad {
		return
	}
	for i := range n.entries {
		e := &n.entries[i]
		visit(e.key, e, fields{o.decoder, e.value, f.elem, o.at.with(section).with(e.key)})
	}
}

// items goes through the objects of a list.
func (o fields) items(list string, visit func(o fields)) {
	n := o.n.get(list)
	if n == nil || n.bad {
		return
	}
	for i, item := range n.items {
		if !item.bad {
			visit(fields{o.decoder, item, o.f.fields[list].elem, o.at.with(list).with(strconv.Itoa(i))})
		}
	}
}

// place gives where a field's value is, or another place when it is not there.
func (o fields) place(name string, otherwise place) place {
	if v := o.n.get(name); v != nil {
		return v.at
	}
	return otherwise
}

// text gives the field as it is written, its default when it is absent, "" when it is bad.
func (o fields) text(name string) string {
	switch v := o.n.get(name); {
	case v == nil:
		return o.f.fields[name].fallback
	case v.bad:
		return ""
	default:
		return v.text
	}
}

func (o fields) guestPath(name string) string {
	if s := o.text(name); s != "" {
		return path.Clean(s)
	}
	return ""
}

func (o fields) bool(name string) bool { return strings.EqualFold(o.text(name), "true") }

// maybe is a bool that may be absent.
func (o fields) maybe(name string) *bool {
	if n := o.n.get(name); n == nil || n.bad {
		return nil
	}
	return new(o.bool(name))
}

func (o fields) int(name string) int {
	v, _ := strconv.ParseInt(strings.ReplaceAll(o.text(name), "_", ""), 0, 32)
	return int(v)
}

func (o fields) list(name string) []string {
	n := o.n.get(name)
	if n == nil || n.bad {
		return nil
	}
	list := []string{}
	for _, item := range n.items {
		list = append(list, item.text)
	}
	return list
}

func (o fields) size(name string) quantity.Size   { return parse(o, name, quantity.ParseSize) }
func (o fields) disk(name string) quantity.Size   { return parse(o, name, quantity.ParseDisk) }
func (o fields) memory(name string) quantity.Size { return parse(o, name, quantity.ParseMemory) }
func (o fields) duration(name string) quantity.Duration {
	return parse(o, name, quantity.ParseDuration)
}
func (o fields) mode(name string) quantity.Mode { return parse(o, name, quantity.ParseMode) }

// parse reads a quantity. What its pattern lets through and its parser does not, such as a number out of range, is
// reported here.
func parse[T any](o fields, name string, read func(string) (T, error)) T {
	var zero T
	text := o.text(name)
	if text == "" {
		return zero
	}
	v, err := read(text)
	var p *quantity.ParseError
	if errors.As(err, &p) {
		n := o.n.get(name)
		n.bad = true
		o.error(n.at, "bad_value", o.at.with(name).String()+" is "+quote(text)+", which "+p.Why, "write "+p.Want)
		return zero
	}
	return v
}
