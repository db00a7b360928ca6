package image

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/layout"
)

// builder makes an OCI layout in memory: names and bytes.
type builder struct {
	t     testing.TB
	files map[string][]byte
	index ocispec.Index
}

func newBuilder(t testing.TB) *builder {
	return &builder{t: t, files: map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
}

func (b *builder) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	b.files["blobs/sha256/"+d.Encoded()] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (b *builder) json(mediaType string, v any) ocispec.Descriptor {
	b.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.blob(mediaType, data)
}

// layer is one layer's tar and how it is compressed.
type testLayer struct {
	tar []byte
	how compress.Format
}

func pack(t testing.TB, data []byte, how compress.Format) []byte {
	t.Helper()
	var buf bytes.Buffer
	switch how {
	case compress.Gzip:
		w := gzip.NewWriter(&buf)
		w.Write(data)
		w.Close()
	case compress.Zstd:
		w, err := zstd.NewWriter(&buf)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
		w.Close()
	default:
		return data
	}
	return buf.Bytes()
}

// image adds an image and gives its manifest's descriptor.
func (b *builder) image(arch string, layers ...testLayer) ocispec.Descriptor {
	b.t.Helper()
	c := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		Config: ocispec.ImageConfig{
			Env: []string{"PATH=/bin", "GREETING=a=b", "ignored", "=none"}, Cmd: []string{"sh"}, User: "1000", WorkingDir: "/work",
			Entrypoint: []string{"/init"}, StopSignal: "SIGINT",
		},
		RootFS: ocispec.RootFS{Type: "layers"},
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(l.tar))
		m.Layers = append(m.Layers, b.blob(layerTypes[l.how], pack(b.t, l.tar, l.how)))
	}
	m.Config = b.json(ocispec.MediaTypeImageConfig, c)
	d := b.json(ocispec.MediaTypeImageManifest, m)
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
	return d
}

func (b *builder) tag(name string, d ocispec.Descriptor) {
	d.Platform = nil
	d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	b.index.Manifests = append(b.index.Manifests, d)
}

// done gives the layout's files.
func (b *builder) done() map[string][]byte {
	b.t.Helper()
	b.index.SchemaVersion = 2
	data, err := json.Marshal(b.index)
	if err != nil {
		b.t.Fatal(err)
	}
	b.files["index.json"] = data
	return b.files
}

func (b *builder) write(dir string) {
	b.t.Helper()
	for name, data := range b.done() {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *builder) archive() []byte {
	b.t.Helper()
	var entries []drivertest.Entry
	files := b.done()
	for _, name := range sortedKeys(files) {
		entries = append(entries, drivertest.Entry{Name: name, Data: string(files[name])})
	}
	return drivertest.Tar(b.t, entries...)
}

func small(t testing.TB, text string) []byte {
	return drivertest.Tar(t, drivertest.Entry{Name: "etc/motd", Data: text, Mode: 0o644})
}

// newStore gives an empty store and its state directory.
func newStore(t testing.TB) (*Store, layout.State) {
	t.Helper()
	state := layout.State{Dir: t.TempDir()}
	return New(Config{State: state, ConfigDirs: []string{}, DockerConfig: t.TempDir()}), state
}

func hexOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func source(t testing.TB, dir, ref string) driver.ImageSource {
	return driver.ImageSource{Ref: ref, Files: drivertest.NewDirFiles(t, dir)}
}

func TestConformanceLayout(t *testing.T) {
	drivertest.Images(t, func(t *testing.T) (driver.Images, drivertest.ImageSources) {
		dir := t.TempDir()
		b := newBuilder(t)
		b.tag("latest", b.image(runtime.GOARCH, testLayer{small(t, "one"), compress.Gzip}, testLayer{small(t, "two"), compress.Zstd}, testLayer{small(t, "three"), compress.Plain}))
		b.write(filepath.Join(dir, "img"))
		s, _ := newStore(t)
		return s, drivertest.ImageSources{Here: source(t, dir, "oci:img:latest"), Gone: source(t, dir, "oci:none")}
	})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
