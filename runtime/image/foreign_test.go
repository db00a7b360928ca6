package image

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

// configured is an archive of an image with this text as its config, which has one layer.
func configured(t *testing.T, config func(diff string) string) []byte {
	t.Helper()
	b := newBuilder(t)
	layer := small(t, "1")
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	m.Config = b.blob(ocispec.MediaTypeImageConfig, []byte(config(digest.FromBytes(layer).String())))
	m.Layers = []ocispec.Descriptor{b.blob(layerTypes[compress.Plain], layer)}
	b.tag("a", b.json(ocispec.MediaTypeImageManifest, m))
	return b.archive()
}

// What is not an image, or has what is not supported, is told as that, and not as corrupt.
func TestForeignIsNotCorrupt(t *testing.T) {
	dir := t.TempDir()
	sha512 := newBuilder(t)
	image := sha512.image(runtime.GOARCH, testLayer{small(t, "1"), compress.Plain})
	data := sha512.files[blobName(image.Digest)]
	image.Digest = digest.SHA512.FromBytes(data)
	sha512.files[blobName(image.Digest)] = data
	sha512.tag("a", image)
	write(t, dir+"/sha512.tar", sha512.archive())

	artifact := func(config ocispec.Descriptor, kind string, b *builder) []byte {
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: kind, Config: config}
		m.SchemaVersion = 2
		m.Layers = []ocispec.Descriptor{b.blob("text/plain", []byte("hello"))}
		b.tag("a", b.json(ocispec.MediaTypeImageManifest, m))
		return b.archive()
	}
	b := newBuilder(t)
	write(t, dir+"/oras.tar", artifact(b.blob(ocispec.MediaTypeEmptyJSON, []byte("{}")), "application/vnd.acme.rocket", b))
	b = newBuilder(t)
	write(t, dir+"/helm.tar", artifact(b.blob("application/vnd.cncf.helm.config.v1+json", []byte(`{"name":"x"}`)), "", b))

	for config, text := range map[string]string{
		`{"config":{"Cmd":"sh"}}`: "the image's config: its field config.Cmd is a JSON string, which it can't be",
		`[]`:                      "the image's config: its top is a JSON array, which it can't be",
		`no`:                      "the image's config is not JSON",
	} {
		write(t, dir+"/config.tar", configured(t, func(string) string { return config }))
		s, _ := newStore(t)
		if _, err := s.Pull(t.Context(), source(t, dir, "oci-archive:config.tar"), "", nil); !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), text) {
			t.Errorf("%s: %v", config, err)
		}
	}
	for name, want := range map[string]struct {
		class error
		text  string
	}{
		"sha512.tar": {driver.ErrUnsupported, "is a digest of sha512"},
		"oras.tar":   {driver.ErrInvalid, "not an image but an OCI artifact of type application/vnd.acme.rocket"},
		"helm.tar":   {driver.ErrInvalid, "not an image but an OCI artifact of type application/vnd.cncf.helm.config.v1+json"},
	} {
		s, _ := newStore(t)
		_, err := s.Pull(t.Context(), source(t, dir, "oci-archive:"+name), "", nil)
		if !errors.Is(err, want.class) || errors.Is(err, driver.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), want.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Fields that nothing uses make no image unusable, whatever is in them; nor does an artifactType of a plain image.
func TestUnusedFieldsOfAConfig(t *testing.T) {
	dir := t.TempDir()
	for _, fields := range []string{
		`"created":""`, `"created":"2024-01-02 03:04:05"`, `"history":7`, `"config":{"ExposedPorts":["80/tcp"],"Labels":[]}`,
	} {
		write(t, dir+"/a.tar", configured(t, func(diff string) string {
			return fmt.Sprintf(`{"os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":[%q]},%s}`, runtime.GOARCH, diff, fields)
		}))
		s, _ := newStore(t)
		if _, err := s.Pull(t.Context(), source(t, dir, "oci-archive:a.tar"), "", nil); err != nil {
			t.Errorf("%s: %v", fields, err)
		}
	}
}

// Of several entries of one name in an archive the last one counts, with its size and its bytes.
func TestLastOfTwoEntries(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/twice.tar", savedArchive(t, func(e []drivertest.Entry) []drivertest.Entry {
		stale := e[1]
		stale.Data = string(small(t, "stale"))
		return append([]drivertest.Entry{stale}, e...)
	}))
	s, _ := newStore(t)
	if _, err := s.Pull(t.Context(), source(t, dir, "docker-archive:twice.tar"), "", nil); err != nil {
		t.Error(err)
	}
}
