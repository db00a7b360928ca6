package schema

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// shapes are manifests that grow in one direction each. Some are what people write, others what an enemy would.
var shapes = map[string]func(n int) string{
	"valid":  func(n int) string { return string(many(n, false)) },
	"faulty": func(n int) string { return string(many(n, true)) },
	"dangling": func(n int) string {
		return "project: p\nvolumes:\n" + repeat(n, "  v%d: {size: 1GiB}\n") +
			"workspaces:\n" + repeat(n, "  w%d: {image: x, mounts: {/a: {volume: vv}}}\n")
	},
	"one volume": func(n int) string {
		return "project: p\nvolumes: {v: {size: 1GiB}}\nworkspaces:\n" +
			repeat(n, "  w%d: {image: x, mounts: {/a: {volume: v}}}\n")
	},
	"many mounts": func(n int) string {
		return "project: p\nvolumes: {v: {size: 1GiB}}\nworkspaces:\n  w:\n    image: x\n    mounts:\n" +
			repeat(n, "      /m%d: {volume: v, readOnly: true}\n")
	},
	"one list": func(n int) string {
		return "project: p\nworkspaces:\n  w:\n    image: x\n    task:\n" + repeat(n, "      - item%d\n")
	},
	"one env": func(n int) string {
		return "project: p\nworkspaces:\n  w:\n    image: x\n    env:\n" + repeat(n, "      V%d: hello\n")
	},
	"bad env": func(n int) string {
		return "project: p\nworkspaces:\n  w:\n    image: x\n    env:\n" + repeat(n, "      V%d: \"\\0\"\n")
	},
	"unknown keys": func(n int) string { return "project: p\n" + repeat(n, "key%d: x\n") },
	"one bad key in many objects": func(n int) string {
		return "project: p\nvolumes:\n" + repeat(n, "  v%d: {siez: 1GiB}\n")
	},
	"outputs": func(n int) string {
		return "project: p\nbundles: {b: {source: ., exclude: [out]}}\nworkspaces: {w: {image: x, task: [], mounts: {/b: {bundle: b}}}}\noutputs:\n" +
			repeat(n, "  o%d: {from: w, path: /x, to: ./out/%[1]d}\n")
	},
	"same output": func(n int) string {
		return "project: p\nworkspaces: {w: {image: x, task: []}}\noutputs:\n" +
			repeat(n, "  o%d: {from: w, path: /x, to: ./out/x}\n")
	},
	"bundles around outputs": func(n int) string {
		return "project: p\nbundles:\n" + repeat(n, "  b%d: {source: ., exclude: [out]}\n") +
			"workspaces: {w: {image: x, task: []}}\noutputs:\n" + repeat(n, "  o%d: {from: w, path: /x, to: ./out/%[1]d}\n")
	},
	"merges": func(n int) string {
		return "project: p\nvolumes:\n  base: &b {size: 1GiB}\n" + repeat(n, "  v%d: {<<: *b}\n")
	},
	"duplicates": func(n int) string { return "project: p\nvolumes:\n" + strings.Repeat("  v: {size: 1GiB}\n", n) },
	"comments":   func(n int) string { return "project: p\n" + repeat(n, "# comment %d\n") + "volumes: {}\n" },
	"flow":       func(n int) string { return "project: p\nx: [" + strings.Repeat("a, ", n) + "]\n" },
	"long text":  func(n int) string { return "project: p\nx: \"" + strings.Repeat("a", 10*n) + "\"\n" },
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestGrowth checks that four times the manifest takes less than six times as long, for every shape.
func TestGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time; left out with -short")
	}
	const n = 1000
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			small, large := []byte(shape(n)), []byte(shape(4*n))
			ratio := 0.0
			for range 3 { // a busy machine may spoil one measurement, not all
				a, b := fastest(small), fastest(large)
				ratio = float64(b) / float64(a)
				if ratio < 6 {
					t.Logf("%v, %v for four times as many: %.1f", a, b, ratio)
					return
				}
			}
			t.Errorf("four times as many take %.1f times as long", ratio)
		})
	}
}

func fastest(data []byte) time.Duration {
	best := time.Hour
	for range 3 {
		start := time.Now()
		Load("microagent.yaml", data, Options{})
		best = min(best, time.Since(start))
	}
	return best
}
