package render

import (
	"fmt"
	"strings"

	"microagent/plan"
	"microagent/schema/quantity"
)

// counted are the actions in the order in which a summary has them.
var counted = []plan.Action{
	plan.ActionPull, plan.ActionBuild, plan.ActionCreate, plan.ActionMove, plan.ActionGrow, plan.ActionUpdate, plan.ActionRestart,
	plan.ActionReplace, plan.ActionStart, plan.ActionStop, plan.ActionRun, plan.ActionWait, plan.ActionCollect,
	plan.ActionDelete,
}

var verbs = map[plan.Action]string{plan.ActionWait: "wait for"}

// Summary counts what a plan does.
type Summary struct {
	Actions   map[plan.Action]int `json:"actions"` // only those that occur, with "keep"; never "none"
	Unchanged int                 `json:"unchanged"`
	OnlyIf    int                 `json:"only_if"`      // changes that are done only if one of their causes holds
	SetAside  int                 `json:"set_aside"`    // changes that keep files outside volumes aside
	DataLoss  int                 `json:"data_loss"`    // changes that lose a volume's files, or those outside volumes if there is no room
	Volumes   int                 `json:"volumes_lost"` // those of them that are of volumes
	Downtime  int                 `json:"downtime"`     // changes that stop a running guest
	PullBytes int64               `json:"pull_bytes"`   // as far as it is known
	// BuildBytes are of the files that bundles are built of, as far as they are known.
	BuildBytes int64 `json:"build_bytes"`
}

// Summarise counts.
func Summarise(p *plan.Plan) Summary {
	s := Summary{Actions: map[plan.Action]int{}}
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Action == plan.ActionNone {
			s.Unchanged++
			continue
		}
		s.Actions[c.Action]++
		if len(c.If) > 0 {
			s.OnlyIf++
		}
		switch c.Danger {
		case plan.DangerSetAside:
			s.SetAside++
		case plan.DangerDataLoss:
			s.DataLoss++
			if c.Address.Kind == plan.KindVolume {
				s.Volumes++
			}
		case plan.DangerDowntime:
			s.Downtime++
		}
		if c.Action == plan.ActionPull && c.Image != nil {
			s.PullBytes += c.Image.Size
		}
		if c.Action == plan.ActionBuild && c.Bundle != nil {
			s.BuildBytes += c.Bundle.Bytes
		}
	}
	return s
}

func (t *text) summary(p *plan.Plan) {
	s := Summarise(p)
	var parts []string
	for _, a := range counted {
		if n := s.Actions[a]; n > 0 {
			verb := string(a)
			if v, ok := verbs[a]; ok {
				verb = v
			}
			part := fmt.Sprintf("%d to %s", n, verb)
			if a == plan.ActionPull && s.PullBytes > 0 {
				part += " (" + bytes(s.PullBytes) + ")"
			}
			if a == plan.ActionBuild && s.BuildBytes > 0 {
				part += " (" + bytes(s.BuildBytes) + ")"
			}
			parts = append(parts, part)
		}
	}
	line := "Plan: " + strings.Join(parts, ", ") + "; " + fmt.Sprintf("%d unchanged", s.Unchanged)
	if n := s.Actions[plan.ActionKeep]; n > 0 {
		line += ", " + plural(n, "volume") + " kept"
	}
	t.line(t.paint(bold, line+"."))
	if s.OnlyIf > 0 {
		t.line(plural(s.OnlyIf, "change is", "changes are") + " made only if what they rest on becomes another.")
	}
	noRoom := s.DataLoss - s.Volumes
	if n := s.SetAside + noRoom; n > 0 {
		line := t.paint(yellow, plural(n, "workspace has its", "workspaces have their")+" files outside volumes set aside, and restore brings them back.")
		if s.Volumes == 0 {
			line += " No volume loses data."
		}
		t.line(line)
	}
	if noRoom > 0 {
		t.line(t.paint(red, plural(noRoom, "of these loses them", "of these lose them")+" if there is no room to keep them, as --allow-data-loss says."))
	}
	if s.Volumes > 0 {
		t.line(t.paint(red, plural(s.Volumes, "volume loses", "volumes lose")+" all data, as --allow-data-loss says."))
	}
	if s.Downtime > 0 {
		t.line(t.paint(yellow, plural(s.Downtime, "running guest is", "running guests are")+" stopped on the way."))
	}
}

// end is the last line: that there is nothing to do, or that nothing can be done.
func end(p *plan.Plan) string {
	switch {
	case len(p.Refusals) > 0:
		return "This plan can't be applied: " + plural(len(p.Refusals), "error") + "."
	case p.Empty():
		return nothing(p)
	}
	return ""
}

// nothing is the whole text of an empty plan.
func nothing(p *plan.Plan) string {
	s := Summarise(p)
	line := "Nothing to do: "
	switch {
	case len(p.Targets) > 0:
		line += esc(strings.Join(p.Targets, ", ")) + " is as declared, with what it rests on"
	case p.Destroy:
		line += "project " + esc(p.Project) + " has no workspaces"
	case s.Unchanged == 0:
		line += "project " + esc(p.Project) + " declares no objects"
	case s.Unchanged == 1:
		line += "the only object of project " + esc(p.Project) + " is as declared"
	default:
		line += fmt.Sprintf("all %d objects of project %s are as declared", s.Unchanged, esc(p.Project))
	}
	var kept []string
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Action == plan.ActionKeep && c.Volume != nil {
			kept = append(kept, esc(c.Volume.Name))
		}
	}
	switch n := len(kept); {
	case n == 1:
		line += "; volume " + kept[0] + " is kept (microagent volume delete " + kept[0] + " deletes it)"
	case n > 3:
		line += fmt.Sprintf("; %d volumes are kept (microagent volume list shows them)", n)
	case n > 1:
		line += "; volumes " + strings.Join(kept, ", ") + " are kept (microagent volume delete NAME deletes one)"
	}
	return line
}

// bytes is a size for people, cut to MiB above one.
func bytes(n int64) string {
	if size := quantity.Size(n); size >= quantity.MiB {
		return (size / quantity.MiB * quantity.MiB).String()
	}
	return quantity.Size(n).String()
}
