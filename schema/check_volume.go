package schema

import "strings"

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
	volume, snapshot := from.value.entry("volume"), from.value.entry("snapshot")
	switch {
	case volume != nil && snapshot != nil:
		c.error(snapshot.at, "conflict", at.with("from").String()+" has a volume and a snapshot", "leave one of them out")
	case volume != nil && volume.value.text == name:
		c.error(volume.value.at, "conflict", at.with("from").String()+" is the volume itself", "name another volume")
	case volume != nil:
		if c.checkName(volume.value.text, volume.value.at, "volumes", at.with("from")) && c.comesFromItself(name) {
			c.error(volume.value.at, "conflict", at.with("from").String()+" leads back to the volume itself", "leave one of them out")
		}
	case snapshot != nil:
		if of, _, _ := strings.Cut(snapshot.value.text, ":"); c.there["volumes"][of] {
			c.used["volumes"][of] = true
		}
	case from.value.get("volume") == nil && from.value.get("snapshot") == nil && !from.value.misspells("volume", "snapshot"):
		c.error(from.at, "missing_field", at.with("from").String()+" names nothing", "write volume: NAME, or snapshot: NAME:TAG")
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
