package view

import (
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/kernel"
	"microagent/schema/spec"
)

// Volume is a volume as it stands. Sizes are bytes.
type Volume struct {
	Name      string    `json:"name"`
	ID        string    `json:"id"`
	Project   string    `json:"project,omitempty"`
	Size      int64     `json:"size"`
	Allocated int64     `json:"allocated"` // on the host's disk
	Created   time.Time `json:"created"`
	Path      string    `json:"path"`
	Protected bool      `json:"protected,omitempty"`
	Holder    *Holder   `json:"holder,omitempty"` // the last one, also when it is free
	Attached  bool      `json:"attached"`
	// What is not as its record has it; recorded is the size that it has there.
	Recorded     int64  `json:"recorded,omitempty"`
	Declared     int64  `json:"declared,omitempty"` // by an apply, before a command made it larger
	ImageMissing bool   `json:"image_missing,omitempty"`
	Changed      string `json:"changed,omitempty"`
	Unborn       bool   `json:"unborn,omitempty"`
	RecordDigest string `json:"record_digest,omitempty"`
}

// Holder is who has a volume, or had it last.
type Holder struct {
	Workspace string    `json:"workspace"`
	PID       int       `json:"pid"`
	ReadOnly  bool      `json:"read_only,omitempty"`
	Since     time.Time `json:"since"`
}

// OfVolume shows a volume.
func OfVolume(v driver.Volume) Volume {
	shown := Volume{
		Name: v.Name, ID: v.ID, Project: v.Project, Size: v.Size, Allocated: v.Allocated, Created: v.Created, Path: v.Path,
		Protected: v.Protected, Attached: v.Attached, ImageMissing: v.ImageMissing, Changed: v.Changed, Unborn: v.Unborn,
		RecordDigest: v.RecordDigest, Declared: v.Declared,
	}
	if v.Recorded != v.Size {
		shown.Recorded = v.Recorded
	}
	if h := v.Holder; h != nil {
		shown.Holder = &Holder{Workspace: h.Workspace, PID: h.PID, ReadOnly: h.ReadOnly, Since: h.Since}
	}
	return shown
}

// OfVolumes shows several.
func OfVolumes(all []driver.Volume) []Volume { return list(all, OfVolume) }

// Project is what status shows of one, or of all.
type Project struct {
	Project    string      `json:"project,omitempty"`
	Workspaces []Workspace `json:"workspaces"`
	Volumes    []Volume    `json:"volumes"`
	Kept       []Kept      `json:"kept"` // root file systems that restore brings back
}

// Image is an image in the store.
type Image struct {
	Ref    string      `json:"ref"`
	Digest string      `json:"digest"` // of the platform's manifest
	Size   int64       `json:"size"`   // bytes of its blobs
	From   string      `json:"from"`   // store, registry, file
	Config ImageConfig `json:"config"`
}

// ImageConfig is what an image says of its process.
type ImageConfig struct {
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	WorkingDir string            `json:"working_dir,omitempty"`
	User       string            `json:"user,omitempty"`
	StopSignal string            `json:"stop_signal,omitempty"`
	Volumes    []string          `json:"volumes,omitempty"`
}

// OfImage shows an image. What its config sets is no secret of the user's: it is in the image.
func OfImage(i driver.Image) Image {
	return Image{Ref: i.Ref, Digest: i.Digest, Size: i.Size, From: i.From, Config: ofConfig(i.Config)}
}

// OfImages shows several.
func OfImages(all []driver.Image) []Image { return list(all, OfImage) }

func ofConfig(c spec.ImageConfig) ImageConfig {
	return ImageConfig{Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, WorkingDir: c.WorkingDir, User: c.User,
		StopSignal: c.StopSignal, Volumes: c.Volumes}
}

// Copied is what cp copied.
type Copied struct {
	To    string `json:"to"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	LeftOut
	Git []string `json:"git,omitempty"` // the first few entries called .git that came to the host
}

// OfCopied shows a copy.
func OfCopied(c driver.Copied) Copied {
	return Copied{To: c.To, Files: c.Files, Bytes: c.Bytes, LeftOut: OfLeftOut(c.LeftOut), Git: c.Git}
}

// Finding is what doctor says of one thing.
type Finding struct {
	Code     string `json:"code"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Next     string `json:"next"`
}

// OfFindings shows what doctor found, the host's VMM apart.
func OfFindings(all []driver.Finding) []Finding {
	return list(all, func(f driver.Finding) Finding {
		return Finding{Code: f.Code, Severity: f.Severity, Message: f.Message, Next: f.Next}
	})
}

// Kernel is a guest kernel that is installed.
type Kernel struct {
	ID      string    `json:"id"`
	Release string    `json:"release"`
	Arch    string    `json:"arch"`
	Source  string    `json:"source"` // the package or files it came from
	Created time.Time `json:"created"`
	Default bool      `json:"default"`
	Path    string    `json:"path"` // its folder
}

// OfKernel shows a kernel.
func OfKernel(k kernel.Installed) Kernel {
	return Kernel{ID: k.ID, Release: k.Release, Arch: k.Arch, Source: k.Source, Created: k.Created, Default: k.Default, Path: k.Path}
}

// OfKernels shows several.
func OfKernels(all []kernel.Installed) []Kernel { return list(all, OfKernel) }

// Host is what doctor found.
type Host struct {
	VMM      string    `json:"vmm"`
	Hardware bool      `json:"hardware"`
	Why      string    `json:"why,omitempty"`
	Kernel   string    `json:"kernel"`
	StateDir string    `json:"state_dir"`
	Findings []Finding `json:"findings"`
}
