package disk

import (
	"errors"
	"path/filepath"
	"testing"

	"microagent/runtime/driver"
)

func TestStateDirectoryIsNeverPacked(t *testing.T) {
	d := newDisks(t, nil)
	home := filepath.Dir(d.state.Dir)
	write(t, filepath.Join(home, "file"), "text", 0o644)
	for _, src := range []driver.BundleSource{from(home), from(d.state.Dir)} {
		_, err := d.DigestBundle(t.Context(), src, nil)
		if !errors.Is(err, driver.ErrRefused) || driver.Next(err) == "" {
			t.Errorf("digest of %s: %v (%s)", src.Path, err, driver.Next(err))
		}
		if _, _, err := d.Bundle(t.Context(), src, "", nil); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("bundle of %s: %v", src.Path, err)
		}
	}
	digest, err := d.DigestBundle(t.Context(), from(home, "state"), nil)
	if err != nil || digest.Entries != 1 {
		t.Errorf("with the state directory excluded: %+v, %v", digest, err)
	}
}
