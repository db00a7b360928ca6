package image

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/driver"
)

// Bounds on what an image may be.
const (
	maxDocument  = 8 << 20 // manifest, index or config
	maxLayers    = 1024
	maxBlob      = 1 << 40
	maxIndexDeep = 3
)

// Media types of docker's that mean the same as OCI's.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// manifest is a platform's manifest together with the bytes that its digest is of.
type manifest struct {
	ocispec.Manifest
	digest string
	data   []byte
}

// blobs are the config and the layers, each once.
func (m manifest) blobs() []ocispec.Descriptor {
	var list []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			list = append(list, d)
		}
	}
	return list
}

// document is a manifest or an index.
type document struct {
	MediaType     string               `json:"mediaType"`
	SchemaVersion int                  `json:"schemaVersion"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Config        *ocispec.Descriptor  `json:"config"`
}

func (d document) isIndex() bool {
	return d.MediaType == ocispec.MediaTypeImageIndex || d.MediaType == dockerIndex || d.Config == nil && len(d.Manifests) > 0
}

func parseDocument(data []byte) (document, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return d, unreadable("a manifest", err)
	}
	if d.SchemaVersion == 1 {
		return d, fmt.Errorf("%w: it is in docker's old format, schema 1", driver.ErrUnsupported)
	}
	return d, nil
}

// parseManifest reads a manifest and checks all that later steps rest on.
func parseManifest(data []byte) (manifest, error) {
	m := manifest{digest: digest.FromBytes(data).String(), data: data}
	if err := json.Unmarshal(data, &m.Manifest); err != nil {
		return manifest{}, unreadable("manifest "+m.digest, err)
	}
	if len(m.Layers) > maxLayers {
		return manifest{}, corruptf("manifest %s has %d layers, more than %d", m.digest, len(m.Layers), maxLayers)
	}
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := validDigest(d.Digest.String()); err != nil {
			return manifest{}, badDigest("manifest "+m.digest, err)
		}
		if d.Size < 0 || d.Size > maxBlob {
			return manifest{}, corruptf("manifest %s says that blob %s has %d bytes", m.digest, d.Digest, d.Size)
		}
		if strings.HasSuffix(d.MediaType, "+encrypted") {
			return manifest{}, fmt.Errorf("%w: layer %s is encrypted", driver.ErrUnsupported, d.Digest)
		}
	}
	if m.Config.Size > maxDocument {
		return manifest{}, corruptf("the config of manifest %s has %d bytes", m.digest, m.Config.Size)
	}
	return m, nil
}

// describe gives the image that manifest and config are of. With arch set, another platform is an error.
func describe(m manifest, config []byte, arch string) (driver.Image, error) {
	img := driver.Image{Digest: m.digest, Size: int64(len(m.data))}
	for _, d := range m.blobs() {
		img.Size += d.Size
	}
	c, err := parseConfig(config)
	if kind := m.Config.MediaType; !isConfigType(kind) && (err != nil || len(c.RootFS.DiffIDs) == 0) {
		return driver.Image{}, &driver.Error{
			Class: driver.ErrInvalid, Op: "read", Object: "manifest " + m.digest,
			Err:  fmt.Errorf("it is not an image but an OCI artifact of type %s", cmp.Or(m.ArtifactType, kind)),
			Next: "name an image",
		}
	}
	if err != nil {
		return driver.Image{}, err
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return driver.Image{}, corruptf("manifest %s has %d layers, its config %d", m.digest, len(m.Layers), len(c.RootFS.DiffIDs))
	}
	if arch != "" {
		if err := checkPlatform(c.Platform, arch); err != nil {
			return driver.Image{}, err
		}
	}
	img.Config = driver.ImageConfig{
		Entrypoint: c.Config.Entrypoint,
		Cmd:        c.Config.Cmd,
		WorkingDir: c.Config.WorkingDir,
		User:       c.Config.User,
		StopSignal: c.Config.StopSignal,
		Volumes:    slices.Sorted(maps.Keys(c.Config.Volumes)),
	}
	for _, kv := range c.Config.Env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			continue
		}
		if img.Config.Env == nil {
			img.Config.Env = map[string]string{}
		}
		img.Config.Env[name] = value
	}
	return img, nil
}

// isConfigType says whether a media type is that of an image's config. Nothing said is nothing wrong.
func isConfigType(t string) bool {
	return t == "" || t == ocispec.MediaTypeImageConfig || t == dockerConfig
}

// imageConfig is what is used of a config. What tools write into other fields makes no image unusable.
type imageConfig struct {
	ocispec.Platform
	Config struct {
		User       string
		Env        []string
		Entrypoint []string
		Cmd        []string
		Volumes    map[string]struct{}
		WorkingDir string
		StopSignal string
	} `json:"config"`
	RootFS ocispec.RootFS `json:"rootfs"`
}

func parseConfig(data []byte) (imageConfig, error) {
	var c imageConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return c, unreadable("the image's config", err)
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := validDigest(d.String()); err != nil {
			return c, badDigest("the image's config: diff id", err)
		}
	}
	return c, nil
}

// unreadable says what is wrong with a document: that it is no JSON, or which field of it is of another kind.
func unreadable(what string, err error) error {
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := "its top"
		if kind.Field != "" {
			field = "its field " + kind.Field
		}
		return corruptf("%s: %s is a JSON %s, which it can't be", what, field, kind.Value)
	}
	return corruptf("%s is not JSON: %v", what, err)
}

// badDigest is an error of validDigest, with where it was: corrupt, unless it is of an algorithm that is not supported.
func badDigest(where string, err error) error {
	if errors.Is(err, driver.ErrUnsupported) {
		return fmt.Errorf("%s: %w", where, err)
	}
	return corruptf("%s: %v", where, err)
}

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{driver.ErrCorrupt}, args...)...)
}
