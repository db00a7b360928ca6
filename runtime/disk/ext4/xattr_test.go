package ext4_test

import (
	"bytes"
	"testing"

	"microagent/runtime/disk/ext4/build"
)

// Attributes that fit in some way are taken, whatever the order of their names is.
func TestXattrsThatFitInSomeWay(t *testing.T) {
	want := map[string][]byte{
		"user.a": random(1, 4000), "user.b": random(2, 20), "security.selinux": []byte("system_u:object_r:bin_t:s0\x00"),
	}
	path := buildImage(t, build.Options{}, func(b *build.Builder) error {
		a := attr(0o644)
		a.Xattrs = want
		return b.File("f", a, 0, nil)
	})
	fsck(t, path)
	x := open(t, path)
	n, err := x.Resolve("f", true)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Xattrs(n)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d attributes, %v", len(got), err)
	}
	for name, value := range want {
		if !bytes.Equal(got[name], value) {
			t.Errorf("%s: %q", name, got[name])
		}
	}
}
