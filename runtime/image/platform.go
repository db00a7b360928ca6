package image

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/driver"
)

// pick gives the descriptor of an index that is for linux on arch. Of several variants the plainest is taken:
// it runs on every machine. Of several of one platform it is the first, as the image index specification has it.
// Descriptors without a platform count when nothing else does and there is just one.
func pick(list []ocispec.Descriptor, arch string) (ocispec.Descriptor, error) {
	var fit, bare []ocispec.Descriptor
	for _, d := range list {
		switch {
		case d.Platform == nil:
			bare = append(bare, d)
		case fits(*d.Platform, arch):
			fit = append(fit, d)
		}
	}
	if len(fit) == 0 && len(bare) == 1 {
		fit = bare
	}
	if len(fit) == 0 {
		return ocispec.Descriptor{}, wrongPlatform(arch, list)
	}
	return slices.MinFunc(fit, byVariant), nil
}

func byVariant(a, b ocispec.Descriptor) int { return cmp.Compare(variant(a), variant(b)) }

func variant(d ocispec.Descriptor) string {
	if d.Platform == nil {
		return ""
	}
	return platforms.Normalize(*d.Platform).Variant
}

func fits(p ocispec.Platform, arch string) bool {
	p = platforms.Normalize(p)
	return p.OS == "linux" && p.Architecture == arch
}

// checkPlatform checks what a config says it is for. Nothing said is nothing wrong.
func checkPlatform(p ocispec.Platform, arch string) error {
	if p.OS == "" {
		p.OS = "linux"
	}
	if p.Architecture == "" || fits(p, arch) {
		return nil
	}
	return wrongPlatform(arch, []ocispec.Descriptor{{Platform: &p}})
}

func wrongPlatform(arch string, list []ocispec.Descriptor) error {
	var have []string
	for _, d := range list {
		if d.Platform != nil && d.Platform.OS != "unknown" {
			have = append(have, platforms.Format(platforms.Normalize(*d.Platform)))
		}
	}
	slices.Sort(have)
	have = slices.Compact(have)
	if len(have) == 0 {
		have = []string{"no platform that it names"}
	}
	return &driver.Error{
		Class: driver.ErrUnsupported, Op: "pick", Object: "platform linux/" + arch,
		Err:  fmt.Errorf("the image is for %s", strings.Join(have, ", ")),
		Next: "use an image that is made for linux/" + arch,
	}
}
