package quantity

import "testing"

func TestCapacity(t *testing.T) {
	for _, c := range []struct {
		read func(string) (Size, error)
		text string
		want Size
		err  string
	}{
		{ParseDisk, "5MiB", 5 * MiB, ""},
		{ParseDisk, "100MB", 96 * MiB, ""},
		{ParseDisk, "128TiB", 128 * TiB, ""},
		{ParseDisk, "4MiB", 0, `size "4MiB": is too small for an ext4 file system with a journal; write 5MiB or more`},
		{ParseDisk, "5242879B", 0, `size "5242879B": is too small for an ext4 file system with a journal; write 5MiB or more`},
		{ParseDisk, "129TiB", 0, `size "129TiB": is more than a disk can have; write 128TiB or less`},
		{ParseDisk, "5", 0, `size "5": has no unit; write a whole number and a unit, such as 512MiB or 1GiB`},
		{ParseMemory, "128MiB", 128 * MiB, ""},
		{ParseMemory, "300MB", 287 * MiB, ""},
		{ParseMemory, "127MiB", 0, `size "127MiB": is too little for any kernel to boot in; write 128MiB or more`},
		{ParseMemory, "7EiB", 0, `size "7EiB": has an unknown unit; write a whole number and a unit, such as 512MiB or 1GiB`},
		{ParseMemory, "7000PiB", 0, `size "7000PiB": is more than any host has; write 1PiB or less`},
	} {
		got, err := c.read(c.text)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != c.want || text != c.err {
			t.Errorf("%s: %v, %s", c.text, got, text)
		}
	}
}
