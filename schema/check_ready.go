package schema

import (
	"slices"
	"strings"

	"microagent/schema/quantity"
	"microagent/schema/spec"
)

var probes = []string{spec.ProbeExec, spec.ProbePort, spec.ProbeLog, spec.ProbeFile}

// checkReady checks the probe of a workspace n, at its own address.
func (c *checker) checkReady(at address, n *node) {
	ready := n.entry("ready")
	if ready == nil {
		return
	}
	if n.get("task") != nil {
		c.error(ready.at, "conflict", at.String()+" is of a task, which is never ready: it ends",
			"leave ready out; who needs the task's result waits for its end")
		return
	}
	r := ready.value
	first, some := (*entry)(nil), r.misspells(probes...)
	for _, e := range r.entries { // another tool's name of a probe, which was reported
		some = some || e.bad && slices.Contains(probes, strings.TrimPrefix(advice["#Ready"][e.key], "="))
	}
	for _, kind := range probes {
		some = some || r.get(kind) != nil
		e := r.entry(kind)
		switch {
		case e == nil:
		case first == nil:
			first = e
		default:
			later := e
			if later.at.before(first.at) {
				later = first
			}
			c.error(later.at, "conflict", at.String()+" has both "+first.key+" and "+e.key, "keep one of them")
		}
	}
	if !some {
		c.error(ready.at, "missing_field", at.String()+" does not say what to look at",
			`add port: 8080, log: "a part of a line", file: /path or exec: [command]`)
		return
	}
	if e := r.entry(spec.ProbeExec); e != nil && len(e.value.items) == 0 {
		c.error(e.value.at, "bad_value", at.with(e.key).String()+" is empty", "write the command that tells, such as [pg_isready]")
	}
	if e := r.entry(spec.ProbeLog); e != nil && n.get("service") == nil {
		c.error(e.at, "conflict", at.with(e.key).String()+" needs a service, whose lines it is looked for in", "use exec, port or file")
	}
	if e := r.entry("timeout"); e != nil && first != nil && first.key != spec.ProbeExec {
		c.error(e.at, "conflict", at.with(e.key).String()+" is of exec alone", "leave it out")
	}
	for _, key := range []string{"interval", "timeout"} {
		if e := r.entry(key); e != nil {
			if d, err := quantity.ParseDuration(e.value.text); err == nil && d < 100*quantity.Millisecond {
				c.error(e.value.at, "bad_value", at.with(key).String()+" is "+quote(e.value.text)+", which is too short", "write 100ms or more")
			}
		}
	}
	restart := n.entry("restart")
	if e := r.entry("onLoss"); e != nil && e.value.text == string(spec.OnLossRestart) && policyOf(n) == spec.RestartNever && restart != nil {
		c.error(e.at, "conflict", at.with(e.key).String()+" is restart, and restart is never", "write restart: on-failure, or leave onLoss out")
	} else if e != nil && e.value.text == string(spec.OnLossRestart) && policyOf(n) == spec.RestartNever {
		c.error(e.at, "conflict", at.with(e.key).String()+" is restart, and without a service nothing restarts the workspace",
			"add restart: on-failure to the workspace, or leave onLoss out")
	}
}

// policyOf is when the workspace n is restarted.
func policyOf(n *node) spec.Restart {
	mode := spec.ModeIdle
	if n.get("service") != nil {
		mode = spec.ModeService
	}
	if e := n.entry("restart"); e != nil {
		return spec.Restart(strings.ToLower(e.value.text))
	}
	return spec.Restart("").Of(mode)
}

func (c *checker) checkRestart(at address, n *node) {
	e := n.entry("restart")
	if e != nil && e.value.text == string(spec.RestartAlways) && n.get("task") != nil {
		c.error(e.value.at, "conflict", at.String()+" is always, and the workspace has a task, which is to end",
			"write on-failure, or use service for a command that is expected to stay")
	}
}
