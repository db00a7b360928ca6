package image

// Normal gives a reference in its full form, as image list shows it, or as it is when it can't be read.
func Normal(ref string) string {
	r, err := parse(ref)
	if err != nil {
		return ref
	}
	return r.name
}
