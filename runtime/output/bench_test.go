package output

import (
	"bytes"
	"fmt"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

// BenchmarkPublish writes 5,000 files of 1 KiB over a tree that differs, and over one that is the same.
func BenchmarkPublish(b *testing.B) {
	stream := func(first string) []byte {
		entries := []item{{Name: "first", Data: first}}
		for i := range 5000 {
			entries = append(entries, item{Name: fmt.Sprintf("d%d/f%d", i%50, i), Data: string(make([]byte, 1024))})
		}
		return drivertest.Tar(b, entries...)
	}
	streams := [][]byte{stream("1"), stream("2")}
	for name, pick := range map[string]func(i int) []byte{
		"other": func(i int) []byte { return streams[i%2] },
		"same":  func(int) []byte { return streams[0] },
	} {
		b.Run(name, func(b *testing.B) {
			_, root := folder(b)
			at := driver.Target{Root: root, Path: "out"}
			for i := 0; b.Loop(); i++ {
				if _, err := New().Publish(b.Context(), bytes.NewReader(pick(i)), at, driver.Publishing{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
