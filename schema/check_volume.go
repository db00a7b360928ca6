package schema

import (
	"slices"
	"strings"
)

// checkVolumeFrom checks what a volume begins with, and that one that is not ours asks for nothing.
func (c *checker) checkVolumeFrom(name string, v *node, external bool, at address) {
	for _, key := range []string{"from", "snapshot"} {
		if e := v.entry(key); e != nil && external {
			c.error(e.at, "conflict", at.with(key).String()+" is of an external volume, which is never created and never changed",
				"leave it out, or make a volume of the project: size: 1GiB")
			return
		}
	}
	from := v.entry("from")
	if from == nil {
		return
	}
	at = at.with("from")
	var said []*entry
	for _, key := range volumeSources {
		if e := from.value.entry(key); e != nil {
			said = append(said, e)
		}
	}
	switch e := from.value.entry; {
	case len(said) > 1:
		c.error(said[1].at, "conflict", at.String()+" has both "+said[0].key+" and "+said[1].key, "leave one of them out")
	case e("volume") != nil:
		c.checkVolumeSource(name, e("volume"), at)
	case e("snapshot") != nil:
		if of, _, _ := strings.Cut(e("snapshot").value.text, ":"); c.there["volumes"][of] {
			c.used["volumes"][of] = true
		}
	case e("bundle") != nil:
		of := e("bundle").value
		if c.checkName(of.text, of.at, "bundles", at) && c.m.MadeOf()[of.text] != "" {
			c.error(of.at, "conflict", at.String()+" is a bundle that is made of an output, and a volume is made before tasks run",
				"mount the bundle, and have a task copy from it")
		}
	case e("image") == nil && !slices.ContainsFunc(volumeSources, func(key string) bool { return from.value.get(key) != nil }) && !from.value.misspells(volumeSources...):
		c.error(from.at, "missing_field", at.String()+" names nothing", "write volume: NAME, snapshot: NAME:TAG, image: FILE or bundle: NAME")
	}
}

// volumeSources are the keys of what a volume begins with, of which one is said.
var volumeSources = []string{"volume", "snapshot", "image", "bundle"}

func (c *checker) checkVolumeSource(name string, e *entry, at address) {
	switch {
	case e.value.text == name:
		c.error(e.value.at, "conflict", at.String()+" is the volume itself", "name another volume")
	case c.checkName(e.value.text, e.value.at, "volumes", at) && c.comesFromItself(name):
		c.error(e.value.at, "conflict", at.String()+" leads back to the volume itself", "leave one of them out")
	}
}

// comesFromItself follows what a volume begins with.
func (c *checker) comesFromItself(name string) bool {
	at := name
	for range c.m.Volumes {
		if at = c.m.Volumes[at].From.Volume; at == name {
			return true
		}
	}
	return false
}
