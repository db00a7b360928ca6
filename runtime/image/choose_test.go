package image

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

// listed is an entry of index.json, as other tools write it.
func listed(d ocispec.Descriptor, platform *ocispec.Platform, annotations ...string) ocispec.Descriptor {
	d.Platform, d.Annotations = platform, map[string]string{}
	for i := 0; i < len(annotations); i += 2 {
		d.Annotations[annotations[i]] = annotations[i+1]
	}
	return d
}

// TestChoices: of several images in a layout one is taken only when it is clear which is meant. What is refused says how
// to name each, and each such name reads as that image.
func TestChoices(t *testing.T) {
	const ref, full = ocispec.AnnotationRefName, containerdName
	here := &ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	other := &ocispec.Platform{OS: "linux", Architecture: "s390x"}
	b := newBuilder(t)
	image := func(text string) ocispec.Descriptor {
		return b.image(runtime.GOARCH, testLayer{small(t, text), compress.Plain})
	}
	x, y, foreign := image("x"), image("y"), b.image("s390x", testLayer{small(t, "z"), compress.Plain})
	signature := b.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: x.Digest, Size: 1},
		Layers: []ocispec.Descriptor{{MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Digest: y.Digest, Size: 1}},
	})
	referrer := b.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Subject: &x,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: x.Digest, Size: 1}})
	index := func(d ...ocispec.Descriptor) ocispec.Descriptor {
		return b.json(ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: d})
	}
	of := func(d ...ocispec.Descriptor) []ocispec.Descriptor { return d }
	saved := of(listed(x, here, ref, "latest", full, "docker.io/library/alpine:latest"), listed(y, here, ref, "latest", full, "docker.io/library/busybox:latest"))
	bare := of(listed(x, nil, ref, "latest", full, "docker.io/library/alpine:latest"), listed(y, nil, ref, "latest", full, "docker.io/library/busybox:latest"))
	indexes := of(listed(index(listed(x, here)), nil, ref, "latest", full, "a.io/x:latest"), listed(index(listed(y, here)), nil, ref, "latest", full, "a.io/y:latest"))
	grown := of(listed(x, here, ref, "app"), listed(y, here, ref, "app"))
	nameless := of(listed(x, here), listed(y, here))
	moved := of(listed(x, nil), listed(y, nil, ref, "latest"))
	twice := of(listed(x, nil, ref, "localhost/x:latest"), listed(x, nil, ref, "localhost/x:stable"), listed(y, nil, ref, "jib/test:1"))
	for name, c := range map[string]struct {
		list []ocispec.Descriptor
		say  string              // what is said behind the path
		want *ocispec.Descriptor // nil where it is refused
	}{
		"docker save":                    {saved, "", nil},
		"docker save, by tag":            {saved, ":latest", nil},
		"docker save, by name":           {saved, ":docker.io/library/busybox:latest", &y},
		"docker save, by short name":     {saved, ":alpine", &x},
		"without platforms":              {bare, ":latest", nil},
		"without platforms, by name":     {bare, ":busybox:latest", &y},
		"indexes":                        {indexes, ":latest", nil},
		"indexes, by name":               {indexes, ":a.io/y:latest", &y},
		"appended under one name":        {grown, "", nil},
		"appended under one name, named": {grown, ":app", nil},
		"appended, by digest":            {grown, "@" + y.Digest.String(), &y},
		"appended, by name and digest":   {grown, ":app@" + x.Digest.String(), &x},
		"appended without a name":        {nameless, "", nil},
		"the tag moved":                  {moved, "", nil},
		"the tag moved, named":           {moved, ":latest", &y},
		"a whole name":                   {twice, ":localhost/x:stable", &x},
		"a whole name, Jib's":            {twice, ":jib/test:1", &y},
		"its tag":                        {twice, ":stable", &x},
		"none of it":                     {twice, ":nosuch", nil},
		"two names of one image":         {twice[:2], "", &x},
		"two platforms":                  {of(listed(foreign, other, ref, "app"), listed(y, here, ref, "app")), "", &y},
		"two platforms, two names":       {of(listed(foreign, other, ref, "a"), listed(y, here, ref, "b")), "", nil},
		"one tag of two images' two platforms": {of(listed(foreign, other, ref, "latest", full, "a.io/a:latest"),
			listed(y, here, ref, "latest", full, "a.io/b:latest")), ":latest", nil},
		"a signature":               {of(listed(x, nil, ref, "app"), listed(signature, nil)), "", &x},
		"a referrer":                {of(listed(referrer, nil), listed(x, nil)), "", &x},
		"an attestation":            {of(listed(x, nil), listed(y, &ocispec.Platform{OS: "unknown", Architecture: "unknown"})), "", &x},
		"in an index, by digest":    {of(listed(index(listed(x, here), listed(foreign, other)), nil, ref, "app")), "@" + x.Digest.String(), &x},
		"a digest that isn't there": {nameless, "@sha256:" + strings.Repeat("0", 64), nil},
		"an unprintable name":       {of(listed(x, nil, ref, "a\x1b b"), listed(y, nil, ref, "b")), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b.index.Manifests = c.list
			b.write(dir + "/lay")
			write(t, dir+"/lay.tar", b.archive())
			for _, kind := range []string{"oci:lay", "oci-archive:lay.tar"} {
				s, _ := newStore(t)
				img, err := s.Find(t.Context(), source(t, dir, kind+c.say))
				if c.want != nil {
					if err != nil || img.Digest != c.want.Digest.String() {
						t.Errorf("%s: %s, %v; want %s", kind, img.Digest, err, c.want.Digest)
					}
					continue
				}
				refused(t, s, dir, kind, len(c.list), err)
			}
		})
	}
}

// refused checks that an error's way out is one: as many references as there are images, each of another.
func refused(t *testing.T, s *Store, dir, kind string, n int, err error) {
	t.Helper()
	next, ok := strings.CutPrefix(driver.Next(err), "name one of them: ")
	if !errors.Is(err, driver.ErrInvalid) || !ok {
		t.Fatalf("%s: %v, next %q", kind, err, driver.Next(err))
	}
	seen := map[string]bool{}
	for say := range strings.SplitSeq(next, " or ") {
		img, err := s.Find(context.Background(), source(t, dir, say))
		if err != nil && !errors.Is(err, driver.ErrUnsupported) {
			t.Errorf("%s does not read: %v", say, err)
		}
		if !strings.HasPrefix(say, kind) || err == nil && seen[img.Digest] && n == 2 {
			t.Errorf("%s: %s", kind, next)
		}
		seen[img.Digest] = true
	}
	if len(seen) < 2 {
		t.Errorf("%s: %v names %d images: %s", kind, err, len(seen), next)
	}
}

// TestGrownLayout: a layout to which an image was appended is not the image that it was.
func TestGrownLayout(t *testing.T) {
	dir := t.TempDir()
	b := newBuilder(t)
	b.tag("app", b.image(runtime.GOARCH, testLayer{small(t, "old"), compress.Plain}))
	b.write(dir + "/lay")
	s, _ := newStore(t)
	if _, err := s.Pull(t.Context(), source(t, dir, "oci:lay:app"), "", nil); err != nil {
		t.Fatal(err)
	}
	b.tag("app", b.image(runtime.GOARCH, testLayer{small(t, "new"), compress.Plain}))
	if err := os.RemoveAll(dir + "/lay"); err != nil {
		t.Fatal(err)
	}
	b.write(dir + "/lay")
	for _, find := range []func(context.Context, driver.ImageSource) (driver.Image, error){s.Find, s.Head} {
		_, err := find(t.Context(), source(t, dir, "oci:lay:app"))
		refused(t, s, dir, "oci:lay", 2, err)
	}
}

// TestSavedTwice: two images under one name in docker's archive are refused as well.
func TestSavedTwice(t *testing.T) {
	saved := func(second string) []byte {
		return savedArchive(t, func(e []drivertest.Entry) []drivertest.Entry {
			last := &e[len(e)-1]
			last.Data = strings.TrimSuffix(last.Data, "]") + `,{"Config":"` + second + `","RepoTags":["app:1"],"Layers":[]}]`
			return append(e, drivertest.Entry{Name: "d.json", Data: "{}"})
		})
	}
	dir := t.TempDir()
	write(t, dir+"/two.tar", saved("d.json"))
	write(t, dir+"/one.tar", saved("c.json"))
	s, _ := newStore(t)
	if _, err := s.Find(t.Context(), source(t, dir, "docker-archive:two.tar:app:1")); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "2 images that are named docker.io/library/app:1") {
		t.Errorf("one of two was taken: %v", err)
	}
	for _, say := range []string{"two.tar:app:2", "one.tar:app:1", "one.tar"} {
		if _, err := s.Find(t.Context(), source(t, dir, "docker-archive:"+say)); err != nil {
			t.Errorf("%s: %v", say, err)
		}
	}
}
