package machine

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Of what cloud-hypervisor saves of its VM: a tree of parts, the root's state as JSON in a string. In it "clock" has the struct
// kvm_clock_data of linux/kvm.h as the numbers of its bytes (vmm/src/vm.rs, VmSnapshot; the crate kvm-bindings).
const (
	clockBytes    = 48
	clockFlags    = 8      // where the flags begin, of which the lowest byte is first
	clockRealtime = 1 << 2 // KVM_CLOCK_REALTIME: the guest's clock goes on by what the host's has since
)

// holdClock has the guest of a saved state go on with the time that it had. By its VMM's will its CLOCK_MONOTONIC would leap by
// as long as the state has lain there, all its timers be overdue at once, and its kernel's watchdogs take that for a processor
// which stood still. The wall clock is set when the guest is configured.
func holdClock(state []byte) ([]byte, error) {
	held, err := changed(state, "snapshot_data", func(data []byte) ([]byte, error) {
		return changed(data, "state", func(text []byte) ([]byte, error) {
			var inner string
			if err := json.Unmarshal(text, &inner); err != nil {
				return nil, err
			}
			of, err := changed([]byte(inner), "clock", func(clock []byte) ([]byte, error) {
				return changed(clock, "Kvm", withoutRealtime)
			})
			if err != nil {
				return nil, err
			}
			return json.Marshal(string(of))
		})
	})
	if err != nil {
		return nil, fmt.Errorf("hold the clock of what was saved: %w", err)
	}
	return held, nil
}

func withoutRealtime(clock []byte) ([]byte, error) {
	var numbers []int
	if err := json.Unmarshal(clock, &numbers); err != nil {
		return nil, err
	}
	if len(numbers) != clockBytes {
		return nil, fmt.Errorf("it has %d bytes, not %d", len(numbers), clockBytes)
	}
	numbers[clockFlags] &^= clockRealtime
	return json.Marshal(numbers)
}

// changed gives an object with another value of a key, which has to be there.
func changed(object []byte, key string, change func([]byte) ([]byte, error)) ([]byte, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(object, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	value, ok := all[key]
	if !ok {
		return nil, errors.New("it has no " + key)
	}
	value, err := change(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	all[key] = value
	return json.Marshal(all)
}
