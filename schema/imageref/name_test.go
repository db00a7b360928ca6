package imageref

import (
	"strings"
	"testing"

	"github.com/distribution/reference"
)

// asDocker holds parseName to docker's own reader. That takes other digests as well, and what begins with a host that can't
// be one for a name without a host.
func asDocker(t *testing.T, text string) {
	t.Helper()
	want, wanted := "", false
	if named, err := reference.ParseNormalizedNamed(text); err == nil && reference.Domain(named) != "" {
		d, digested := named.(reference.Digested)
		wanted = !digested || IsDigest(d.Digest().String())
		want = reference.TagNameOnly(named).String()
	}
	got, ok := parseName(text)
	if ok != wanted || ok && got.String() != want {
		t.Errorf("%q: %q, %v; docker has %q, %v", text, got, ok, want, wanted)
	}
}

var namesToTry = []string{
	"alpine", "alpine:3.20", "me/app", "a/b/c:1", "docker.io/alpine", "index.docker.io/alpine:1", "index.docker.io/a/b", "docker.io/library/alpine",
	"localhost/app", "localhost:5000/app", "localhost", "example.com", "example.com/a", "EXAMPLE/a", "Example.com:1/a_b__c---d.e/f", "[::1]:5000/a", "[::1]/a",
	"10.0.0.1:80/a", "a@sha256:" + zeros, "a:1@sha256:" + zeros, "a.b/c:T@sha256:" + zeros, "a@sha256:12", "a@b@c", zeros, zeros + ":1", "x/" + zeros,
	"", ":", ":1", "/", "/a", "a/", "a//b", "a:", "a:1:2", "a:b/c", "a:1/b", "A", "a/B", "a/b:C", "a/b:-x", "a/b:.x", "a/b:_x", "-a", "a-", "a.", "a..b", "a__b", "a___b",
	"a_b.c/x", "a-.b/c", "-a.b/c", "a.b:/c", "a.b:x/c", "a.b./c", "ä", "a/ä", "a b", "a\n", "a/b\n", "http://a/b", "oci:x",
	strings.Repeat("a", 255), strings.Repeat("a", 248), strings.Repeat("a", 247), "x.y/" + strings.Repeat("a", 255), "x.y/" + strings.Repeat("a", 256),
	"a:" + strings.Repeat("t", 128), "a:" + strings.Repeat("t", 129),
}

func TestNamesReadAsDockerReadsThem(t *testing.T) {
	for _, text := range namesToTry {
		asDocker(t, text)
	}
	for i, a := range namesToTry {
		for _, b := range namesToTry[i:] {
			asDocker(t, a+"/"+b)
			asDocker(t, a+":"+b)
		}
	}
}

func FuzzNamesReadAsDockerReadsThem(f *testing.F) {
	for _, text := range namesToTry {
		f.Add(text)
	}
	f.Fuzz(asDocker)
}

func TestPinned(t *testing.T) {
	const digest = "sha256:" + zeros
	for text, want := range map[string]string{
		"alpine:3": "docker.io/library/alpine@" + digest, "a.b/c:1@" + digest: "a.b/c@" + digest, "a.b:5/c@" + digest: "a.b:5/c@" + digest,
	} {
		r, err := Parse(text)
		if got := r.Pinned(digest); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}
