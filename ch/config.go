package ch

import "microagent/ch/api"

// The shapes of the API, under the names that callers of Client use. Optional fields are pointers: nil means
// that the VMM's own default holds, which ch/api/openapi.yaml states. new makes such a pointer of a value.
type (
	VmConfig       = api.VmConfig
	CpusConfig     = api.CpusConfig
	MemoryConfig   = api.MemoryConfig
	PayloadConfig  = api.PayloadConfig
	DiskConfig     = api.DiskConfig
	RngConfig      = api.RngConfig
	SerialConfig   = api.SerialConfig
	ConsoleConfig  = api.ConsoleConfig
	VsockConfig    = api.VsockConfig
	LandlockConfig = api.LandlockConfig
	VmInfo         = api.VmInfo
	VmCounters     = api.VmCounters
	VmResize       = api.VmResize
	RestoreConfig  = api.RestoreConfig
	PciDeviceInfo  = api.PciDeviceInfo
	Ping           = api.VmmPingResponse
	ImageType      = api.ImageType
	ConsoleMode    = api.ConsoleMode
)

// The values of the API's enumerations that are used outside this package.
const (
	ImageRaw      = api.ImageTypeRaw
	ConsoleOff    = api.ConsoleModeOff
	ConsoleNull   = api.ConsoleModeNull
	ConsoleFile   = api.ConsoleModeFile
	ConsoleSocket = api.ConsoleModeSocket
)
