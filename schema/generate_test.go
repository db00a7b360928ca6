package schema

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// many writes a manifest with n objects, a third (rounded down) each of volumes, bundles and workspaces that mount them. With faults
// each object has one error.
func many(n int, faults bool) []byte {
	bad := func(good, wrong string) string {
		if faults {
			return wrong
		}
		return good
	}
	var b strings.Builder
	b.WriteString("project: many\nvolumes:\n")
	for i := range n / 3 {
		fmt.Fprintf(&b, "  v%d: {size: %s}\n", i, bad("512MiB", "512"))
	}
	b.WriteString("bundles:\n")
	for i := range n / 3 {
		fmt.Fprintf(&b, "  b%d:\n    %s: ./src/%d\n", i, bad("source", "sorce"), i)
	}
	b.WriteString("workspaces:\n")
	for i := range n / 3 {
		fmt.Fprintf(&b, `  w%d:
    image: docker.io/library/alpine:3.20
    cpus: %s
    memory: 512MiB
    env:
      GREETING: hello
      NUMBER: %d
    mounts:
      /work: {volume: v%d}
      /config: {bundle: b%d}
    task: [sh, -c, "cat /config/hello.txt >> /work/log"]
`, i, bad("2", "2000"), i, i, i)
	}
	return []byte(b.String())
}

// generator writes manifests that are right or wrong in ways that CUE alone can tell.
type generator struct{ *rand.Rand }

func (g generator) pick(texts ...string) string { return texts[g.IntN(len(texts))] }

// rarely gives the first text, and now and then one of the others.
func (g generator) rarely(good string, wrong ...string) string {
	if g.IntN(25) > 0 {
		return good
	}
	return g.pick(wrong...)
}

func (g generator) name() string {
	return g.rarely(g.pick("a", "data", "web-1", "x9", strings.Repeat("n", 31)), "A", "9a", "a.b", "-x", strings.Repeat("n", 32), `""`)
}

func (g generator) size() string {
	return g.rarely(g.pick("1GiB", "512MiB", "100MB", "7B", "007KiB", "1kB"), "1", "1.5GiB", "0GiB", "GiB", "1 GiB", "1gib", "[1GiB]", `""`)
}

func (g generator) text() string {
	return g.rarely(g.pick("hello", `"1"`, "1", "1.5", "true", `""`, "-c", "'a b'"), "[x]", "{a: b}", `"a\0b"`)
}

func (g generator) list(item func() string) string {
	items := make([]string, g.IntN(4))
	for i := range items {
		items[i] = item()
	}
	return g.rarely("["+strings.Join(items, ", ")+"]", "text", "{a: b}", "7")
}

func (g generator) guest() string {
	return g.rarely(g.pick("/work", "/a/b", "/"), "work", `""`, `"/a\nb"`, "[/x]")
}

func (g generator) host() string {
	return g.rarely(g.pick("./x", "a/b.tar", "'a b'"), `""`, `"a\nb"`, "[x]", "{}")
}

func (g generator) flag() string {
	return g.rarely(g.pick("true", "false"), "yes", "1", `"true"`, "[]")
}

func (g generator) user() string {
	return g.rarely(g.pick("root", "1000", `"1000:1000"`, "a.b:c_d"), "'a b'", "':x'", "-5", "1.5", "true", `""`)
}

func (g generator) duration() string {
	return g.rarely(g.pick("10s", "1h30m", "500ms", "0s", "1h2m3s4ms"), "10", "s", "1m1h", "1d", "1.5h", `""`)
}

// object writes some of the fields, the required ones nearly always, in an order of its own.
func (g generator) object(required int, fields ...[2]string) string {
	var parts []string
	for i, f := range fields {
		if i < required && g.IntN(40) > 0 || i >= required && g.IntN(3) == 0 {
			parts = append(parts, f[0]+": "+f[1])
		}
	}
	if g.IntN(40) == 0 {
		parts = append(parts, g.pick("extra: 1", "siz: 1GiB", "Image: x"))
	}
	g.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return g.rarely("{"+strings.Join(parts, ", ")+"}", "[x]", "text")
}

func (g generator) keyed(most int, key func(i int) string, value func() string) string {
	var parts []string
	for i := range g.IntN(most + 1) {
		parts = append(parts, key(i)+": "+value())
	}
	return g.rarely("{"+strings.Join(parts, ", ")+"}", "[x]", "text", "5")
}

func (g generator) port() string {
	return g.object(1, [2]string{"guest", g.rarely(g.pick("80", `"8080"`), "0", "65536", "x", "[80]", `""`)},
		[2]string{"host", g.rarely("auto", "80", "any", "65536", "{}")}, [2]string{"protocol", g.rarely(g.pick("tcp", "udp"), "sctp", "6")})
}

func (g generator) names(i int) string {
	return g.rarely(fmt.Sprintf("n%d", i), fmt.Sprintf("N%d", i), fmt.Sprintf("n.%d", i))
}

func (g generator) paths(i int) string {
	return g.rarely(fmt.Sprintf("/p%d", i), fmt.Sprintf("p%d", i))
}

func (g generator) variables(i int) string {
	return g.rarely(fmt.Sprintf("V%d", i), fmt.Sprintf("%dV", i), fmt.Sprintf("'V %d'", i))
}

func (g generator) manifest() string {
	volume := func() string {
		return g.object(1, [2]string{"size", g.size()}, [2]string{"external", g.flag()}, [2]string{"protected", g.flag()})
	}
	bundle := func() string {
		return g.object(1, [2]string{"source", g.host()}, [2]string{"exclude", g.list(g.host)})
	}
	disk := func() string { return g.object(1, [2]string{"path", g.host()}) }
	mount := func() string {
		return g.object(1, [2]string{g.pick("volume", "bundle", "disk"), g.name()}, [2]string{"readOnly", g.flag()},
			[2]string{"owner", g.user()}, [2]string{"mode", g.rarely(g.pick(`"0755"`, `"755"`, `"1777"`, "0700"), `"9"`, `"0000"`, "x", "[]")})
	}
	workspace := func() string {
		return g.object(1,
			[2]string{"image", g.rarely(g.pick("alpine", "oci:./x", "a/b:c"), "'a b'", "1.5", `""`)},
			[2]string{"cpus", g.rarely(g.pick("1", "254", "0x10"), "0", "255", "1.5", `"2"`, "-1")},
			[2]string{"memory", g.size()}, [2]string{"disk", g.size()}, [2]string{"env", g.keyed(3, g.variables, g.text)},
			[2]string{"user", g.user()}, [2]string{"hostname", g.rarely("db", "db.example.com", "A-1", "-x", "a_b", "a..b", "db.")}, [2]string{"workdir", g.guest()}, [2]string{"ports", g.keyed(2, g.names, g.port)}, [2]string{"entrypoint", g.list(g.text)},
			[2]string{"task", g.list(g.text)}, [2]string{"service", g.list(g.text)}, [2]string{"timeout", g.duration()},
			[2]string{"stopGrace", g.duration()}, [2]string{"desired", g.rarely("running", "stopped", "halted", "true")},
			[2]string{"isolation", g.rarely("any", "hardware", "none", "1")}, [2]string{"boot", g.rarely("template", "fresh", "cold", "1")}, [2]string{"after", g.keyed(2, g.names, func() string { return g.rarely(g.pick("started", "ready", "completed"), "healthy", "1", "[]") })},
			[2]string{"mounts", g.keyed(3, g.paths, mount)})
	}
	output := func() string {
		return g.object(3, [2]string{"from", g.name()}, [2]string{"path", g.guest()}, [2]string{"to", g.host()},
			[2]string{"optional", g.flag()}, [2]string{"limit", g.size()})
	}
	var b strings.Builder
	line := func(chance int, format string, args ...any) {
		if g.IntN(100) < chance {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	line(98, "project: %s", g.name())
	line(50, "volumes: %s", g.keyed(2, g.names, volume))
	line(50, "bundles: %s", g.keyed(2, g.names, bundle))
	line(30, "disks: %s", g.keyed(2, g.names, disk))
	line(70, "workspaces: %s", g.keyed(2, g.names, workspace))
	line(50, "outputs: %s", g.keyed(2, g.names, output))
	line(3, "other: 1")
	return b.String()
}
