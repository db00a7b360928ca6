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
	return parseBetween(text, MinDisk, "is too small for an ext4 file system with a journal", MaxDisk, "is more than a disk can have")
}

// ParseMemory reads the size of a microVM's memory, rounded up to whole MiB.
func ParseMemory(text string) (Size, error) {
	return parseBetween(text, MinMemory, "is too little for any kernel to boot in", PiB, "is more than any host has")
}

func parseBetween(text string, least Size, tooLittle string, most Size, tooMuch string) (Size, error) {
	s, err := ParseSize(text)
	switch {
	case err != nil:
		return 0, err
	case s < least:
		return 0, &ParseError{Kind: "size", Text: text, Why: tooLittle, Want: least.Text() + " or more"}
	case s > most:
		return 0, &ParseError{Kind: "size", Text: text, Why: tooMuch, Want: most.Text() + " or less"}
	}
	return (s + MiB - 1) / MiB * MiB, nil
}
