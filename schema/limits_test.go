package schema

import (
	"strconv"
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	for _, c := range []struct{ name, manifest, code string }{
		{"bytes", "project: p\n" + strings.Repeat("# 123456789\n", maxBytes/12+1), "too_large"},
		{"values", "project: p\nx: [" + strings.Repeat("a,", maxNodes) + "]", "too_many_values"},
		{"depth", "project: p\nx: " + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), "too_deep"},
		{"depth through aliases", "a0: &a0 [x]\n" + chain(maxDepth), "too_deep"},
		{"merges", "project: p\na: &a {k: v}\nb: {<<: [" + strings.Repeat("*a,", maxNodes/2) + "]}", "too_many_values"},
		{"deeper than the parser", strings.Repeat("[", 20_000), "syntax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, list := Load("microagent.yaml", []byte(c.manifest), Options{})
			all := list.All()
			if m != nil || len(all) != 1 || all[0].Code != c.code {
				t.Errorf("manifest %v, %+v", m, all)
			}
		})
	}
}

// chain writes n anchors, each of which holds the one before.
func chain(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		b.WriteString(strings.NewReplacer("I", strconv.Itoa(i), "J", strconv.Itoa(i-1)).Replace("aI: &aI [*aJ]\n"))
	}
	return b.String()
}

func TestOutside(t *testing.T) {
	manifest := "project: p\nbundles: {a: {source: /data/../data/x}, b: {source: ../y}}\n" +
		"workspaces: {w: {image: x, mounts: {/a: {bundle: a}, /b: {bundle: b}}}}\n"
	var asked []string
	m, list := Load("microagent.yaml", []byte(manifest), Options{Outside: func(p string) bool {
		asked = append(asked, p)
		return p == "/data/x"
	}})
	if m != nil || len(list.All()) != 1 || list.All()[0].Pos.Line != 2 || strings.Join(asked, " ") != "/data/x ../y" {
		t.Errorf("asked %v, %+v", asked, list.All())
	}
	if m, list = Load("microagent.yaml", []byte(manifest), Options{Outside: func(string) bool { return true }}); m == nil {
		t.Error(list.Err())
	}
}
