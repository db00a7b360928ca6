package apply

import (
	"microagent/apply/folder"
	"microagent/plan"
	"microagent/schema/imageref"
	"microagent/schema/spec"
)

// claims are what no output of p may write, as refresh claims them from a manifest: that, what it reads, other outputs.
func claims(p *plan.Plan) []folder.Claim {
	list := []folder.Claim{{What: "the manifest", Path: p.Manifest}}
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Bundle != nil && c.Bundle.Source != "" && c.Bundle.Output == "" {
			list = append(list, folder.Claim{What: "the source of bundle " + c.Address.Name, Path: c.Bundle.Source, Exclude: c.Bundle.Exclude})
		}
		if c.Volume != nil && c.Volume.Image != "" {
			list = append(list, folder.Claim{What: "what volume " + c.Address.Name + " begins with", Path: c.Volume.Image})
		}
		if c.Image != nil {
			if path, ok := imageref.Path(c.Image.Ref); ok {
				list = append(list, folder.Claim{What: "image " + c.Image.Ref, Path: path})
			}
		}
		if c.Output != nil {
			list = append(list, folder.Claim{What: "output " + c.Address.Name, Path: c.Output.To, Output: true})
		}
		if c.Workspace == nil {
			continue
		}
		for _, m := range c.Workspace.Mounts {
			if m.Kind == spec.MountDisk {
				list = append(list, folder.Claim{What: "disk " + m.Name, Path: m.Source})
			}
		}
	}
	return list
}
