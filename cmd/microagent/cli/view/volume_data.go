package view

import "microagent/runtime/driver"

// Cloned is a volume that was made as a copy.
type Cloned struct {
	Volume
	OwnIdentity bool `json:"own_identity"` // its file system has a UUID of its own
}

// OfCloned shows one.
func OfCloned(c driver.Cloned) Cloned { return Cloned{OfVolume(c.Volume), c.OwnIdentity} }
