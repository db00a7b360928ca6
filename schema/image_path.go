package schema

import "strings"

// ImagePath is the file or folder that an image names, as written and without a tag or reference; ok is false of an
// image of a registry.
func ImagePath(image string) (path string, ok bool) {
	for _, prefix := range localImages {
		if file, ok := strings.CutPrefix(image, prefix); ok {
			return withoutTag(prefix, file), true
		}
	}
	return "", false
}
