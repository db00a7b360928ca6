package driver

// Set is a driver of each kind: all that the engine can look at the world with, and touch it.
type Set struct {
	Images        Images
	Disks         Disks
	Volumes       Volumes
	VolumeData    VolumeData
	VolumeStreams VolumeStreams
	Workspaces    Records
	Runs          Runs
	Jobs          Jobs
	Projects      Projects
	Outputs       Outputs
	Hosts         Hosts
}
