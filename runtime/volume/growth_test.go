package volume

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
)

// TestCreateCostsTheSameBesideOthers counts allocations, which reading the other volumes' records would add to.
func TestCreateCostsTheSameBesideOthers(t *testing.T) {
	allocations := func(others int) float64 {
		s := store(t)
		for i := range others {
			create(t, s, fmt.Sprintf("other%d", i))
		}
		command, n := next(s), 0
		return testing.AllocsPerRun(20, func() {
			n++
			if _, _, err := command.Create(t.Context(), driver.VolumeSpec{Name: fmt.Sprintf("new%d", n), Size: 1 << 20}); err != nil {
				t.Fatal(err)
			}
		})
	}
	few, many := allocations(5), allocations(200)
	if many > 1.2*few {
		t.Errorf("%.0f allocations beside 200 volumes, %.0f beside 5", many, few)
	}
}

// TestListReadsEachVolumeOnce counts the allocations of a list by volume: its record and its image are opened once each, and
// the machine's mounts are looked at for none.
func TestListReadsEachVolumeOnce(t *testing.T) {
	allocations := func(n int) float64 {
		s := store(t)
		image := bytes.Repeat([]byte{0}, super.Offset+super.Size)
		for i := range n {
			r := s.newRecord(fmt.Sprintf("v%d", i), "", int64(len(image)))
			r.UUID = "00"
			if err := os.WriteFile(s.State.VolumeImage(r.Name), image, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.save(&r); err != nil {
				t.Fatal(err)
			}
		}
		return testing.AllocsPerRun(3, func() {
			if list, err := s.List(t.Context()); err != nil || len(list) != n {
				t.Fatalf("%d of %d volumes, %v", len(list), n, err)
			}
		}) / float64(n)
	}
	few, many := allocations(50), allocations(200)
	t.Logf("%.0f allocations a volume of 50, %.0f of 200", few, many)
	if many > 1.1*few || many > 60 {
		t.Errorf("%.0f allocations a volume of 50, %.0f of 200", few, many)
	}
}
