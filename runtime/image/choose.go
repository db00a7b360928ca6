package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/driver"
	"microagent/schema/imageref"
	"microagent/schema/pattern"
)

// containerdName is where docker save and containerd write an image's whole name; their ref.name is the tag alone.
const containerdName = "io.containerd.image.name"

// choose finds the image that the reference means among those of index.json. That is a list of images that came one by
// one, not an index: where two fit, neither is better for being first, and none is taken.
func (o *ociLayout) choose(ctx context.Context, list []ocispec.Descriptor) (ocispec.Descriptor, error) {
	if o.ref.Digest != "" && o.ref.Tag == "" {
		for _, d := range list {
			if d.Digest.String() == o.ref.Digest {
				return d, nil
			}
		}
		d := ocispec.Descriptor{Digest: digest.Digest(o.ref.Digest)} // one of an index's, or one without an entry
		if _, _, ok := o.source.resolve(blobName(d.Digest)); !ok {
			return d, o.unclear("it has no image "+o.ref.Digest, list, list)
		}
		return d, nil
	}
	fit := meant(list, o.ref)
	if len(fit) == 0 {
		return ocispec.Descriptor{}, o.unclear("it has no image "+o.ref.Tag+map[bool]string{true: "@" + o.ref.Digest}[o.ref.Digest != ""], list, list)
	}
	left := forArch(fit, o.arch)
	if len(left) != 1 {
		fit = o.images(ctx, fit)
		left = forArch(fit, o.arch)
	}
	switch {
	case len(left) == 1:
		return left[0], nil
	case len(left) == 0:
		return ocispec.Descriptor{}, wrongPlatform(o.arch, fit)
	case o.ref.Tag != "":
		return ocispec.Descriptor{}, o.unclear(fmt.Sprintf("it has %d images that %s may mean", len(left), o.ref.Tag), left, list)
	}
	return ocispec.Descriptor{}, o.unclear(fmt.Sprintf("it has %d images", len(left)), left, list)
}

// meant are the descriptors that a reference may mean, each digest once: those of exactly its name, or else of its name
// in docker's full form, or else of its tag.
func meant(list []ocispec.Descriptor, r imageref.Reference) []ocispec.Descriptor {
	full, isName := imageref.Full(r.Tag)
	whole := r.Tag + "@" + r.Digest
	for _, same := range []func(name string) bool{
		func(name string) bool { return r.Digest != "" && name == whole },
		func(name string) bool { return name == r.Tag },
		func(name string) bool {
			f, ok := imageref.Full(name)
			return ok && isName && f == full
		},
		func(name string) bool { return imageref.TagOf(name) == r.Tag },
	} {
		var fit []ocispec.Descriptor
		for _, d := range list {
			if r.Digest != "" && d.Digest.String() != r.Digest && !slices.Contains(names(d), whole) {
				continue
			}
			if r.Tag == "" || slices.ContainsFunc(names(d), same) {
				fit = append(fit, d)
			}
		}
		if len(fit) > 0 {
			return fit
		}
	}
	return nil
}

// names are those that a descriptor has, the most telling first.
func names(d ocispec.Descriptor) []string {
	var list []string
	for _, key := range []string{containerdName, ocispec.AnnotationRefName} {
		if name := d.Annotations[key]; name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// forArch are the descriptors, each digest once, that are left when those for other platforms are taken out. They are
// taken out when all are one image, made for several platforms: under one name.
func forArch(list []ocispec.Descriptor, arch string) []ocispec.Descriptor {
	var distinct []ocispec.Descriptor
	called := map[string][]string{} // by digest, what its descriptors are called
	for _, d := range list {
		key := d.Digest.String()
		if called[key] == nil {
			distinct = append(distinct, d)
		}
		called[key] = append(called[key], append(names(d), "")[0])
	}
	one := len(distinct) > 0 && slices.ContainsFunc(called[distinct[0].Digest.String()], func(name string) bool {
		return !slices.ContainsFunc(distinct, func(d ocispec.Descriptor) bool { return !slices.Contains(called[d.Digest.String()], name) })
	})
	if len(distinct) < 2 || !one {
		return distinct
	}
	distinct = slices.DeleteFunc(distinct, func(d ocispec.Descriptor) bool { return d.Platform != nil && !fits(*d.Platform, arch) })
	if slices.ContainsFunc(distinct, func(d ocispec.Descriptor) bool { return d.Platform == nil }) {
		return distinct // which may be for any platform
	}
	plainest := ""
	if len(distinct) > 0 {
		plainest = variant(slices.MinFunc(distinct, byVariant))
	}
	return slices.DeleteFunc(distinct, func(d ocispec.Descriptor) bool { return variant(d) != plainest })
}

// maxRead is how many manifests are read to tell images from what only speaks of them.
const maxRead = 64

// images leaves out what is no image: signatures, attestations and other artifacts that lie beside one. Where nothing
// is left, or too much is there to look at, all stays.
func (o *ociLayout) images(ctx context.Context, list []ocispec.Descriptor) []ocispec.Descriptor {
	if len(list) > maxRead {
		return list
	}
	var kept []ocispec.Descriptor
	for _, d := range list {
		if data, err := o.verified(ctx, d); err != nil || isImage(d, data) {
			kept = append(kept, d)
		}
	}
	if len(kept) == 0 {
		return list
	}
	return kept
}

// isImage says whether a manifest or index is one of an image, and of no artifact. An artifactType alone tells nothing:
// some builders give images one.
func isImage(d ocispec.Descriptor, data []byte) bool {
	if d.Platform != nil && d.Platform.OS == "unknown" || d.Annotations["vnd.docker.reference.type"] != "" {
		return false // as buildkit marks attestations
	}
	var m struct {
		Config  *ocispec.Descriptor  `json:"config"`
		Subject *ocispec.Descriptor  `json:"subject"`
		Layers  []ocispec.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(data, &m); err != nil || m.Config == nil {
		return true // an index, or corrupt, which is told when it is taken
	}
	layer := func(l ocispec.Descriptor) bool {
		return l.MediaType == "" || strings.HasPrefix(l.MediaType, "application/vnd.oci.image.layer.") ||
			strings.HasPrefix(l.MediaType, "application/vnd.docker.image.rootfs.")
	}
	return m.Subject == nil && slices.Contains([]string{"", ocispec.MediaTypeImageConfig, dockerConfig}, m.Config.MediaType) &&
		(len(m.Layers) == 0 || slices.ContainsFunc(m.Layers, layer))
}

const maxListed = 6

// unclear says which images there are, and how each is named.
func (o *ociLayout) unclear(what string, candidates, all []ocispec.Descriptor) error {
	e := &driver.Error{Class: driver.ErrInvalid, Op: "choose from", Object: o.ref.Path, Err: fmt.Errorf("%s; the layout is empty", what),
		Next: "put an image into it first"}
	var told, say []string
	for _, d := range candidates {
		if text := o.say(d, all); !slices.Contains(say, text) {
			say, told = append(say, text), append(told, label(d))
		}
	}
	if len(say) == 0 {
		return e
	}
	more := ""
	if n := len(say) - maxListed; n > 0 {
		more, say, told = fmt.Sprintf(" and %d more", n), say[:maxListed], told[:maxListed]
	}
	e.Err = fmt.Errorf("%s: %s%s", what, strings.Join(told, ", "), more)
	if strings.HasPrefix(what, "it has no") {
		e.Err = fmt.Errorf("%s, only %s%s", what, strings.Join(told, ", "), more)
	}
	e.Next = "name one of them: " + strings.Join(say, " or ")
	return e
}

func label(d ocispec.Descriptor) string {
	id := fmt.Sprintf("%.19s", d.Digest)
	if d.Platform != nil && d.Platform.OS != "" {
		id = platforms.Format(platforms.Normalize(*d.Platform)) + " " + id
	}
	if list := names(d); len(list) > 0 {
		return list[0] + " (" + id + ")"
	}
	return id
}

var plain = pattern.Of(`^[!-~]+$`)

// say gives a reference that means this image and no other of the layout: by a name, or else by its digest.
func (o *ociLayout) say(d ocispec.Descriptor, all []ocispec.Descriptor) string {
	for _, name := range names(d) {
		r, err := imageref.Parse(string(o.ref.Kind) + ":" + o.ref.Path + ":" + name)
		if err != nil || r.Path != o.ref.Path || !plain().MatchString(name) {
			continue
		}
		if left := forArch(meant(all, r), o.arch); len(left) == 1 && left[0].Digest == d.Digest {
			return r.Name
		}
	}
	return imageref.Reference{Kind: o.ref.Kind, Digest: d.Digest.String()}.At(o.ref.Path)
}
