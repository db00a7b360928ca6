package spec

import "time"

// Process is what runs in the guest, after the image's config was merged in: Argv is whole.
type Process struct {
	Mode Mode     `json:"mode"`
	Argv []string `json:"argv,omitempty"` // empty for ModeIdle
	Guest
	// StopSignal is the image's ("SIGTERM" when it has none).
	StopSignal string `json:"stop_signal,omitempty"`
	// Directories are made in the guest where they are missing: the image's volumes.
	Directories []string `json:"directories,omitempty"`
	// Timeout ends the task; 0 means never.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// ImageConfig is the part of an OCI image config that a guest honours.
type ImageConfig struct {
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	WorkingDir string            `json:"working_dir,omitempty"`
	User       string            `json:"user,omitempty"`
	StopSignal string            `json:"stop_signal,omitempty"`
	// Volumes are directories that programs of the image expect, made where its layers have none.
	Volumes []string `json:"volumes,omitempty"`
}
