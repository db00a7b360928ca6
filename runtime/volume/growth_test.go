package volume

import (
	"fmt"
	"testing"

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
