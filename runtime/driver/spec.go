package driver

import "microagent/schema/spec"

// What contracts share with manifests and plans is defined in schema/spec.
type (
	Mode        = spec.Mode
	Phase       = spec.Phase
	Process     = spec.Process
	ImageConfig = spec.ImageConfig
	MountKind   = spec.MountKind
	Mount       = spec.Mount // the Source of a bundle is its DiskImage.Key
	Output      = spec.Output
	Host        = spec.Host
	Port        = spec.Port
	PortState   = spec.PortState
	Network     = spec.Network
)

// Their values.
const (
	ModeTask    = spec.ModeTask
	ModeService = spec.ModeService
	ModeIdle    = spec.ModeIdle

	PhaseStarting = spec.PhaseStarting
	PhaseReady    = spec.PhaseReady
	PhaseRunning  = spec.PhaseRunning
	PhaseFinished = spec.PhaseFinished
	PhaseFailed   = spec.PhaseFailed
	PhaseLost     = spec.PhaseLost

	MountVolume = spec.MountVolume
	MountBundle = spec.MountBundle
	MountDisk   = spec.MountDisk
)
