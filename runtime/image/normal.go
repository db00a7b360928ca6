package image

import "microagent/schema/imageref"

// Normal gives a reference in its full form, as image list shows it, or as it is when it can't be read.
func Normal(ref string) string {
	r, err := imageref.Parse(ref)
	if err != nil {
		return ref
	}
	return r.Name
}

// OfRegistry says whether a reference names an image in a registry, and not a file.
func OfRegistry(ref string) bool {
	r, err := imageref.Parse(ref)
	return err == nil && r.Kind == imageref.Registry
}
