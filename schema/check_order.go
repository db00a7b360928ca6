package schema

import (
	"strings"

	"microagent/schema/diag"
	"microagent/schema/spec"
)

// checkOrder checks what comes after what: that it is there, that it can come so far, and that nothing waits in a circle.
func (c *checker) checkOrder() {
	for name, w := range c.section("workspaces") {
		at := address{"workspaces", name, "after"}
		for other, e := range each(w.value.get("after")) {
			if !e.bad && c.checkName(other, e.at, "workspaces", at) && !e.value.bad && other != name {
				c.checkAfter(at.with(other), name, other, e)
			}
		}
	}
	made := c.m.MadeOf()
	for name := range c.section("bundles") {
		if o := c.root.get("outputs").get(made[name]).entry("optional"); o != nil && strings.EqualFold(o.value.text, "true") {
			c.error(o.at, "output_conflict", address{"outputs", made[name], "optional"}.String()+": bundle "+quote(name)+" is made of it, so that it has to come",
				"leave optional out")
		}
	}
	for _, circle := range c.order.circle {
		c.reportCircle(circle)
	}
}

// checkAfter checks how far a workspace that is declared can come.
func (c *checker) checkAfter(at address, name, other string, e *entry) {
	switch until := spec.Until(e.value.text); {
	case until == spec.UntilReady && c.tasks()[other]:
		c.error(e.value.at, "never_so_far", at.String()+" is ready, and "+quote(other)+" has a task, which is never ready",
			"write completed, for when its task has ended with 0, or started")
	case until == spec.UntilCompleted && !c.tasks()[other]:
		c.error(e.value.at, "never_so_far", at.String()+" is completed, and "+quote(other)+" has no task that could be",
			"write started or ready, or give "+cut(other)+" a task")
	case until == spec.UntilReady && c.m.Workspaces[other].Ready == nil:
		c.add(diag.Warning, e.value.at, "no_probe", at.String()+" is ready, and "+quote(other)+" does not say when it is: it counts as ready once it was started", "",
			"add a probe to "+cut(other)+", such as ready: {port: 8080}, or write started")
	case c.m.Workspaces[other].Desired == spec.DesiredStopped && c.m.Workspaces[name].Desired != spec.DesiredStopped:
		c.error(e.at, "never_so_far", at.String()+" waits for "+quote(other)+", which is declared as stopped and so never starts",
			"leave desired: stopped out there, or write it here as well")
	}
}

// mostInCircle is how many workspaces of a circle are named.
const mostInCircle = 8

// reportCircle reports a circle at what comes last in the file of all that closes it.
func (c *checker) reportCircle(circle []string) {
	var last First
	by := 0
	var words []string
	for i, name := range circle {
		for _, f := range c.order.First(name) {
			if f.Workspace != circle[(i+1)%len(circle)] {
				continue
			}
			if p, q := (place{f.Pos.Line, f.Pos.Col}), (place{last.Pos.Line, last.Pos.Col}); q.before(p) {
				last, by = f, i
			}
			text := cut(name) + " after " + cut(f.Workspace)
			if f.Bundle != "" {
				text += " (whose output is bundle " + cut(f.Bundle) + ")"
			}
			if len(words) < mostInCircle {
				words = append(words, text)
			}
		}
	}
	if len(circle) > mostInCircle {
		words = append(words, "...")
	}
	summary, next := "workspaces."+cut(circle[by])+" comes after itself", "leave it out"
	if len(circle) > 1 || last.Bundle != "" {
		summary += ": " + strings.Join(words, ", ")
		next = "leave one of them out: what waits in a circle never starts"
	}
	c.error(place{last.Pos.Line, last.Pos.Col}, "circle", summary, next)
}
