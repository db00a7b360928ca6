package quantity

// What a disk may have. The least is what an ext4 file system with a journal needs, the most what ours addresses.
const (
	MinDisk = 5 * MiB
	MaxDisk = 128 * TiB
)

// MinMemory is below what any kernel that we boot comes up with.
const MinMemory = 128 * MiB

// ParseDisk reads the size of a disk, rounded up to whole MiB.
func ParseDisk(text string) (Size, error) {
	s, err := ParseSize(text)
	if err != nil {
		return 0, err
	}
	e := &ParseError{Kind: "size", Text: text}
	switch {
	case s < MinDisk:
		e.Why, e.Want = "is too small for an ext4 file system with a journal", MinDisk.Text()+" or more"
	case s > MaxDisk:
		e.Why, e.Want = "is more than a disk can have", MaxDisk.Text()+" or less"
	default:
		return s.wholeMiB(), nil
	}
	return 0, e
}

// ParseMemory reads the size of a microVM's memory, rounded up to whole MiB.
func ParseMemory(text string) (Size, error) {
	s, err := ParseSize(text)
	if err != nil {
		return 0, err
	}
	e := &ParseError{Kind: "size", Text: text}
	switch {
	case s < MinMemory:
		e.Why, e.Want = "is too little for any kernel to boot in", MinMemory.Text()+" or more"
	case s > PiB:
		e.Why, e.Want = "is more than any host has", PiB.Text()+" or less"
	default:
		return s.wholeMiB(), nil
	}
	return 0, e
}

func (s Size) wholeMiB() Size { return (s + MiB - 1) / MiB * MiB }
