package machine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// savedState is what cloud-hypervisor v53 saves of a VM whose clock's struct has these flags, with a part of its own.
func savedState(flags int) string {
	clock := make([]int, clockBytes)
	for i := range clock {
		clock[i] = i + 1
	}
	clock[8], clock[9], clock[10], clock[11] = flags, 0, 0, 0
	numbers, _ := json.Marshal(clock)
	inner, _ := json.Marshal(fmt.Sprintf(`{"clock":{"Kvm":%s},"common_cpuid":[{"function":18446744073709551615}]}`, numbers))
	return fmt.Sprintf(`{"snapshot_data":{"state":%s},"snapshots":{"a":{"snapshot_data":{"state":"1"},"snapshots":{}}}}`, inner)
}

func TestAGuestThatGoesOnHasTheTimeThatItHad(t *testing.T) {
	for flags, want := range map[int]int{2 | 4 | 8: 2 | 8, 4: 0, 2: 2, 0: 0} {
		got, err := holdClock([]byte(savedState(flags)))
		if err != nil || string(got) != savedState(want) {
			t.Errorf("flags %d: %s, %v; want %s", flags, got, err, savedState(want))
		}
	}
	for name, state := range map[string]string{
		"nothing": ``, "no clock": strings.ReplaceAll(savedState(6), "clock", "watch"), "another hypervisor's": strings.ReplaceAll(savedState(6), "Kvm", "Mshv"),
		"another struct": strings.ReplaceAll(savedState(6), ",48]", "]"), "no state": `{"snapshots":{}}`,
	} {
		if got, err := holdClock([]byte(state)); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}
