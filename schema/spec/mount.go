package spec

// MountKind is what is attached at a guest path.
type MountKind string

const (
	MountVolume MountKind = "volume"
	MountBundle MountKind = "bundle"
	MountDisk   MountKind = "disk"
)

// Mount attaches a block device at a guest path.
type Mount struct {
	Path string    `json:"path"` // absolute, clean
	Kind MountKind `json:"kind"`
	Name string    `json:"name"` // the volume's name on disk; the name of the bundle or disk as its user knows it
	// Source: of a volume its id, "" when it is yet to be made; of a bundle its digest, and for drivers the key of the disk
	// that was made of it; of a disk its absolute host path.
	Source   string `json:"source"`
	DiskID   string `json:"disk_id,omitempty"` // disk: "device:inode" of the file it has to be; "" for whichever is there
	ReadOnly bool   `json:"read_only,omitempty"`
	// Owner is given to the root of a volume that was never mounted before: "uid:gid" or names, "" for the process's user.
	// Mode likewise; 0 keeps what is there.
	Owner string `json:"owner,omitempty"`
	Mode  uint32 `json:"mode,omitempty"`
}
