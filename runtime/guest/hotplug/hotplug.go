// Package hotplug takes CPUs and memory into use that a VMM plugs into a guest while it runs, as Linux shows them below
// /sys/devices/system (Documentation/admin-guide/mm/memory-hotplug.rst, Documentation/core-api/cpu_hotplug.rst): what comes is there
// and offline until somebody says otherwise, and a CPU that goes is taken offline and given back by the kernel itself.
//
// Promised: a success means that the kernel has what was asked for. Never: a CPU that is on its way out taken into use again.
package hotplug

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Patience is how long a kernel may take to have what was plugged, or to give back what is unplugged.
const Patience = 30 * time.Second

// Tree is a directory such as Kernel.
type Tree string

// Kernel is that of the kernel that runs.
const Kernel Tree = "/sys/devices/system"

// Online returns once the kernel uses cpus CPUs, no other is there any more, and it uses all the memory of a VM with so many bytes
// of it; 0 asks for no memory. An error says what is missing after Patience.
func (t Tree) Online(ctx context.Context, cpus int, memory int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, fmt.Errorf("after %s", Patience))
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := errors.Join(t.cpus(cpus), t.memory(memory))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// CPUs counts those that the kernel uses.
func (t Tree) CPUs() (int, error) {
	list, err := t.list("cpu/online")
	return len(list), err
}

// cpus takes those that are there into use, and says what is missing.
func (t Tree) cpus(want int) error {
	present, err := t.list("cpu/present")
	switch {
	case err != nil:
		return err
	case len(present) > want:
		return fmt.Errorf("its kernel has %d CPUs still, and is to have %d", len(present), want)
	}
	for _, cpu := range present {
		if err := t.use(fmt.Sprintf("cpu/cpu%d/online", cpu), "0", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) { // the first has none
			return fmt.Errorf("take CPU %d into use: %w", cpu, err)
		}
	}
	if n, err := t.CPUs(); err != nil || n != want {
		return errors.Join(err, fmt.Errorf("its kernel uses %d of %d CPUs", n, want))
	}
	return nil
}

// memory takes the blocks that are there into use, and says what is missing. One at the end of what the VM began with may be there
// in part, which is less than the smallest piece that comes later.
func (t Tree) memory(want int64) error {
	if want == 0 {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(string(t), "memory/block_size_bytes"))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("its kernel takes no memory while it runs")
	}
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(strings.TrimSpace(string(text)), 16, 64)
	if err != nil {
		return fmt.Errorf("size of a block of memory: %w", err)
	}
	blocks, err := filepath.Glob(filepath.Join(string(t), "memory/memory[0-9]*"))
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if err := t.use("memory/"+filepath.Base(b)+"/state", "offline", "online"); err != nil {
			return fmt.Errorf("take %s into use: %w", filepath.Base(b), err)
		}
	}
	if have := int64(len(blocks)) * size; have < want {
		return fmt.Errorf("its kernel has %d MiB of memory, of %d MiB", have>>20, want>>20)
	}
	return nil
}

// use writes a word to a file that has another.
func (t Tree) use(file, from, to string) error {
	path := filepath.Join(string(t), file)
	text, err := os.ReadFile(path)
	if err != nil || strings.TrimSpace(string(text)) != from {
		return err
	}
	return os.WriteFile(path, []byte(to), 0)
}

func (t Tree) list(file string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(string(t), file))
	if err != nil {
		return nil, err
	}
	return List(strings.TrimSpace(string(text)))
}

// List reads numbers as the kernel lists them: "0-3,5".
func List(list string) (all []int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		if err != nil {
			return nil, err
		}
		last, err := strconv.ParseUint(to, 10, 16)
		if err != nil {
			return nil, err
		}
		for n := first; n <= last; n++ {
			all = append(all, int(n))
		}
	}
	return all, nil
}
