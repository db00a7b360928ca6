package ch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Version is a release of Cloud Hypervisor.
type Version struct{ Major, Minor, Patch int }

func (v Version) String() string { return fmt.Sprintf("v%d.%d.%d", v.Major, v.Minor, v.Patch) }

// ParseVersion reads "v53.0", "53.0.0", "cloud-hypervisor v53.0-dirty" and the like: the first word that starts
// with a number, after a "v" or not. What follows the numbers is ignored.
func ParseVersion(text string) (Version, error) {
	for _, word := range strings.Fields(text) {
		word = strings.TrimPrefix(word, "v")
		if word == "" || word[0] < '0' || word[0] > '9' {
			continue
		}
		numbers, _, _ := strings.Cut(word, "-")
		var v Version
		for i, part := range strings.SplitN(numbers, ".", 3) {
			n, err := strconv.ParseUint(part, 10, 31)
			if err != nil {
				return Version{}, fmt.Errorf("version %q: %w", text, err)
			}
			*[]*int{&v.Major, &v.Minor, &v.Patch}[i] = int(n)
		}
		return v, nil
	}
	return Version{}, fmt.Errorf("version %q: no number in it", text)
}

// The oldest version that works, and the newest that the conformance suite was run against.
var (
	OldestVersion = Version{Major: 53}
	TestedVersion = Version{Major: 53}
)

// ErrTooOld is the class of what CheckVersion refuses.
var ErrTooOld = errors.New("VMM too old")

// CheckVersion refuses a version that can't work, and has a note on one that nobody has tried.
func CheckVersion(v Version) (note string, err error) {
	if v.Major < OldestVersion.Major {
		return "", fmt.Errorf("%w: cloud-hypervisor %s; v%d or later is needed, since before it a vsock stream can't be half-closed and a booted VM can't be told from none", ErrTooOld, v, OldestVersion.Major)
	}
	if v.Major > TestedVersion.Major {
		return fmt.Sprintf("cloud-hypervisor %s is newer than v%d, the newest this was tested with", v, TestedVersion.Major), nil
	}
	return "", nil
}

// IsAdapter says whether p comes from runtime/qemu's adapter.
func IsAdapter(p Ping) bool { return slices.Contains(p.Features, FeatureQEMU) }

// HasSeccomp says whether p comes from an adapter whose QEMU is held by seccomp.
func HasSeccomp(p Ping) bool { return slices.Contains(p.Features, FeatureSeccomp) }

// Features in a ping's list that the adapter states beside the accelerator's name, "tcg" or "kvm".
const (
	FeatureQEMU     = "qemu"
	FeatureSeccomp  = "seccomp"  // QEMU runs below its own sandbox; stated once it runs
	FeatureSnapshot = "snapshot" // vm.snapshot and vm.restore work
	FeatureResize   = "resize"   // vm.resize works
)
