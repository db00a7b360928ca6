package image

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/schema/imageref"
)

// dockerArchive is an image in an archive of `docker save`, as an origin. It has no manifest of OCI's kind, so
// one is made: a function of the archive's config and layers, which stay as they are.
type dockerArchive struct {
	ref     imageref.Reference
	archive *archive

	saved  savedImage
	layers map[digest.Digest]string // entry names
	raw    []byte                   // the config
}

// savedImage is an element of the archive's manifest.json.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (o *dockerArchive) Close() error { return o.archive.Close() }

func (o *dockerArchive) manifest(ctx context.Context) (manifest, error) {
	data, err := o.archive.document(ctx, "manifest.json")
	if err != nil {
		return manifest{}, err
	}
	var list []savedImage
	if err := json.Unmarshal(data, &list); err != nil {
		return manifest{}, corruptf("manifest.json is not what docker save writes: %v", err)
	}
	if o.saved, err = o.choose(list); err != nil {
		return manifest{}, err
	}
	if len(o.saved.Layers) > maxLayers {
		return manifest{}, corruptf("it has %d layers, more than %d", len(o.saved.Layers), maxLayers)
	}
	if o.raw, err = o.archive.document(ctx, o.saved.Config); err != nil {
		return manifest{}, err
	}
	layers, err := o.hash(ctx)
	if err != nil {
		return manifest{}, err
	}
	if err := o.checkDiffs(layers); err != nil {
		return manifest{}, err
	}
	return makeManifest(o.raw, layers)
}

// choose finds the image that the reference means.
func (o *dockerArchive) choose(list []savedImage) (savedImage, error) {
	var tags []string
	var fit []savedImage
	for _, img := range list {
		means := o.ref.Tag == ""
		for _, tag := range img.RepoTags {
			if full, ok := imageref.Full(tag); ok {
				tag = full
			}
			tags = append(tags, tag)
			means = means || tag == o.ref.Tag
		}
		if means && !slices.ContainsFunc(fit, func(f savedImage) bool { return f.Config == img.Config }) {
			fit = append(fit, img)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	slices.Sort(tags)
	e := &driver.Error{
		Class: driver.ErrInvalid, Op: "choose from", Object: o.ref.Path,
		Err:  fmt.Errorf("it has %d images, named %s", len(list), strings.Join(slices.Compact(tags), ", ")),
		Next: "name one of them: docker-archive:" + o.ref.Path + ":NAME",
	}
	if o.ref.Tag != "" && len(fit) > 1 {
		e.Err = fmt.Errorf("it has %d images that are named %s", len(fit), o.ref.Tag)
		e.Next = "name each by itself with docker tag, and save them again"
	}
	return savedImage{}, e
}

// hash reads the layers once for their digests and sizes.
func (o *dockerArchive) hash(ctx context.Context) ([]ocispec.Descriptor, error) {
	names := map[string]bool{}
	for _, layer := range o.saved.Layers {
		name, _, ok := o.archive.resolve(layer)
		if !ok {
			return nil, corruptf("it has no layer %s", layer)
		}
		names[name] = true
	}
	found := map[string]ocispec.Descriptor{}
	o.layers = map[digest.Digest]string{}
	err := o.archive.each(ctx, names, func(name string, size int64, r io.Reader) error {
		in := bufio.NewReaderSize(r, 64<<10)
		head, err := in.Peek(compress.SniffLength)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		c, err := sniff(head)
		if err != nil {
			return err
		}
		d, err := digest.FromReader(&contextReader{ctx, in})
		if err != nil {
			return err
		}
		found[name] = ocispec.Descriptor{MediaType: layerTypes[c], Digest: d, Size: size}
		o.layers[d] = name
		return nil
	})
	if err != nil {
		return nil, err
	}
	var list []ocispec.Descriptor
	for _, layer := range o.saved.Layers {
		name, _, _ := o.archive.resolve(layer)
		list = append(list, found[name])
	}
	return list, nil
}

// checkDiffs compares layers that are not compressed with what the config says of them.
func (o *dockerArchive) checkDiffs(layers []ocispec.Descriptor) error {
	c, err := parseConfig(o.raw)
	if err != nil {
		return err
	}
	for i, d := range layers {
		if i < len(c.RootFS.DiffIDs) && d.MediaType == ocispec.MediaTypeImageLayer && d.Digest != c.RootFS.DiffIDs[i] {
			return fmt.Errorf("layer %s: %w", o.saved.Layers[i], &wrongBlobError{Want: c.RootFS.DiffIDs[i].String(), Got: d.Digest.String()})
		}
	}
	return nil
}

func (o *dockerArchive) config(context.Context, manifest) ([]byte, error) { return o.raw, nil }

func (o *dockerArchive) copy(ctx context.Context, want []ocispec.Descriptor, put putFunc) error {
	names := map[string]bool{}
	wanted := map[string]ocispec.Descriptor{}
	for _, d := range want {
		if d.Digest == digest.FromBytes(o.raw) {
			if err := put(d, strings.NewReader(string(o.raw))); err != nil {
				return err
			}
			continue
		}
		names[o.layers[d.Digest]] = true
		wanted[o.layers[d.Digest]] = d
	}
	if len(names) == 0 {
		return nil
	}
	return o.archive.each(ctx, names, func(name string, _ int64, r io.Reader) error {
		return put(wanted[name], r)
	})
}

// makeManifest gives the OCI manifest of a config and layers. Its bytes are a function of them.
func makeManifest(config []byte, layers []ocispec.Descriptor) (manifest, error) {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config)),
		},
		Layers: layers,
	}
	if m.Layers == nil {
		m.Layers = []ocispec.Descriptor{}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return manifest{}, errors.Join(errors.New("make a manifest"), err)
	}
	return parseManifest(data)
}
