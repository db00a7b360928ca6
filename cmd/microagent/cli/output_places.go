package cli

import (
	"fmt"

	"microagent/apply/folder"
	"microagent/schema/imageref"
	"microagent/schema/spec"
)

// checkOutputPlaces refuses outputs that would replace what the same command line names, whatever they are called, or the
// manifest in view.
func (o *composeFlags) checkOutputPlaces(a *app, p *parsed) error {
	var list []folder.Claim
	for _, file := range o.envFiles {
		list = append(list, folder.Claim{What: "--env-file " + file, Path: file})
	}
	if path, ok := imageref.Path(o.image); ok {
		list = append(list, folder.Claim{What: "the image " + o.image, Path: path})
	}
	for _, m := range p.mounts {
		if m.kind != spec.MountVolume {
			list = append(list, folder.Claim{What: string(m.kind) + " " + m.source, Path: m.source})
		}
	}
	return a.placeOutputs(p.outputs, list)
}

// placeOutputs refuses two outputs that are one on the host, and one that would replace the manifest in view or what list
// has.
func (a *app) placeOutputs(outputs []outputFlag, list []folder.Claim) error {
	if len(outputs) == 0 {
		return nil
	}
	files, err := folder.Free(".")
	if err != nil {
		return err
	}
	defer files.Close()
	if manifest := a.manifestInView(); manifest != "" {
		list = append(list, folder.Claim{What: "the manifest", Path: manifest})
	}
	names := map[string]string{} // of outputs, by path
	for _, e := range outputs {
		abs := files.Resolve(e.host)
		if other, ok := names[abs]; ok {
			return fmt.Errorf("--output %s and --output %s are both written to %s", other, e.name, e.host)
		}
		names[abs] = e.name
		list = append(list, folder.Claim{What: "--output " + e.name, Path: e.host, Output: true})
	}
	files.Claim(list)
	for _, e := range outputs {
		if err := files.Unclaimed(e.host); err != nil {
			return err
		}
	}
	return nil
}
