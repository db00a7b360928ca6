package refresh

import (
	"microagent/apply/folder"
	"microagent/schema"
	"microagent/schema/imageref"
)

// claims are what no output of m may write: the manifest itself, all that it reads, and other outputs.
func claims(m *schema.Manifest, manifest string) []folder.Claim {
	var list []folder.Claim
	if manifest != "" {
		list = append(list, folder.Claim{What: "the manifest", Path: manifest})
	}
	made := m.MadeOf()
	for name, b := range m.Bundles {
		if made[name] != "" { // its output claims it
			continue
		}
		list = append(list, folder.Claim{What: "the source of bundle " + name, Path: b.Source, Exclude: b.Exclude})
	}
	for name, d := range m.Disks {
		list = append(list, folder.Claim{What: "disk " + name, Path: d.Path})
	}
	for name, v := range m.Volumes {
		if v.From.Image != "" {
			list = append(list, folder.Claim{What: "what volume " + name + " begins with", Path: v.From.Image})
		}
	}
	for name, w := range m.Workspaces {
		if path, ok := imageref.Path(w.Image); ok {
			list = append(list, folder.Claim{What: "the image of workspace " + name, Path: path})
		}
	}
	for name, o := range m.Outputs {
		list = append(list, folder.Claim{What: "output " + name, Path: o.To, Output: true})
	}
	return list
}
