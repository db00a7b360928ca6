package schema

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
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
	"chain": func(n int) string {
		return ordered(n, func(i int) string { return fmt.Sprintf("w%d: completed", i-1) }, "")
	},
	"circle": func(n int) string {
		return ordered(n, func(i int) string { return fmt.Sprintf("w%d: completed", (i+n-1)%n) }, "")
	},
	"no order": func(n int) string { return ordered(n, func(int) string { return "" }, "") },
	"readers of one, and one after all": func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("w%d: completed", i)
		}
		return ordered(n, func(i int) string { return "w0: completed" }, ", readOnly: true") +
			"  last: {image: x, task: [], mounts: {/a: {volume: v}}, after: {" + strings.Join(all, ", ") + "}}\n"
	},
	"started through many": func(n int) string {
		return ordered(n, func(i int) string { return fmt.Sprintf("w%d: started, w%d: started", i-1, i/2) }, "")
	},
	"moved on and on":   func(n int) string { return renamed(n, n) },
	"moved in a circle": func(n int) string { return renamed(n, 0) },
	"merges": func(n int) string {
		return "project: p\nvolumes:\n  base: &b {size: 1GiB}\n" + repeat(n, "  v%d: {<<: *b}\n")
	},
	"duplicates": func(n int) string { return "project: p\nvolumes:\n" + strings.Repeat("  v: {size: 1GiB}\n", n) },
	"comments":   func(n int) string { return "project: p\n" + repeat(n, "# comment %d\n") + "volumes: {}\n" },
	"flow":       func(n int) string { return "project: p\nx: [" + strings.Repeat("a, ", n) + "]\n" },
	"long text":  func(n int) string { return "project: p\nx: \"" + strings.Repeat("a", 10*n) + "\"\n" },
}

// ordered are tasks that use one volume, the first apart, each after some.
func ordered(n int, after func(i int) string, mount string) string {
	var b strings.Builder
	b.WriteString("project: p\nvolumes: {v: {size: 1GiB}}\nworkspaces:\n  w0: {image: x, task: [], mounts: {/a: {volume: v}}}\n")
	for i := range n - 1 {
		fmt.Fprintf(&b, "  w%d: {image: x, task: [], mounts: {/a: {volume: v%s}}, after: {%s}}\n", i+1, mount, after(i+1))
	}
	return b.String()
}

// renamed are n moves, of v0 to v1, of that to v2, and so on, the last of them to the volume of a number.
func renamed(n, last int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "project: p\nvolumes:\n  v%d: {size: 1GiB}\nmoved:\n", n)
	for i := range n - 1 {
		fmt.Fprintf(&b, "  - {volume: v%d, to: v%d}\n", i, i+1)
	}
	fmt.Fprintf(&b, "  - {volume: v%d, to: v%d}\n", n-1, last)
	return b.String()
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestGrowth checks that four times the manifest takes less than six times the allocations, in number and in bytes, for
// every shape.
func TestGrowth(t *testing.T) {
	const n = 500
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			objects, bytes := allocated([]byte(shape(n)))
			moreObjects, moreBytes := allocated([]byte(shape(4 * n)))
			if moreObjects > 6*objects || moreBytes > 6*bytes {
				t.Errorf("%d objects of %d bytes, and %d of %d for four times as much", objects, bytes, moreObjects, moreBytes)
			}
		})
	}
}

// allocated is what loading a manifest takes, once what is made only once is there.
func allocated(data []byte) (objects, bytes uint64) {
	load := func() { Load("microagent.yaml", data, Options{}) }
	load()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	load()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc
}
