package schema

import (
	"strconv"
	"testing"
)

func BenchmarkLoad(b *testing.B) {
	for _, faults := range []bool{false, true} {
		for _, n := range []int{100, 1000, 5000} {
			data := many(n, faults)
			name := "valid/"
			if faults {
				name = "faulty/"
			}
			b.Run(name+strconv.Itoa(n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					m, list := Load("microagent.yaml", data, Options{})
					if (m == nil) != faults {
						b.Fatal(list.Err())
					}
				}
			})
		}
	}
}
