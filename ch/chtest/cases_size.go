package chtest

import (
	"context"
	"testing"

	"microagent/ch"
	"microagent/runtime/guest/proto"
)

// testGrow gives a guest a second CPU and more memory, which it takes into use, and takes the CPU away again.
func testGrow(t *testing.T, s Server) {
	v := s.start(t)
	can := !ch.IsAdapter(v.ping) || supports(v.ping, ch.FeatureResize)
	config := v.config(s.Guest)
	config.Cpus.MaxVcpus = 2
	if can {
		config.Memory.HotplugSize = new(uint64(256 << 20))
	}
	must(t, v.client.Create(t.Context(), config))
	must(t, v.client.Resize(t.Context(), ch.VmResize{DesiredRam: new(uint64(384 << 20))})) // before boot anyone can
	must(t, v.client.Boot(t.Context()))
	if cpus, memory := v.ask("cpus"), v.ask("memory"); cpus != "0" || memory != "402653184" {
		t.Errorf("booted with CPUs %q, memory %q", cpus, memory)
	}
	chainEnds(t, v.client.Resize(t.Context(), ch.VmResize{DesiredVcpus: new(uint32(0))}), 500, "Error from CPU manager", "Requested zero vCPUs")
	chainEnds(t, v.client.Resize(t.Context(), ch.VmResize{DesiredVcpus: new(uint32(3))}), 500, "Error from CPU manager", "Requested vCPUs exceed maximum")
	cpus, memory := uint32(2), uint64(512<<20)
	if can {
		v.resizeRunning()
	} else {
		for what, r := range map[string]ch.VmResize{
			"CPUs": {DesiredVcpus: &cpus}, "memory": {DesiredRam: &memory}, "both": {DesiredVcpus: &cpus, DesiredRam: &memory},
		} {
			if err := v.client.Resize(t.Context(), r); !ch.IsUnsupported(err) {
				t.Errorf("resize of %s: %v", what, err)
			}
		}
		cpus, memory = 1, 384<<20
		v.online(1, 0)
	}
	info, err := v.client.Info(t.Context())
	must(t, err)
	if info.State != "Running" || info.Config.Cpus.BootVcpus != cpus || info.Config.Memory.Size != memory {
		t.Errorf("state %s, CPUs %d, memory %d", info.State, info.Config.Cpus.BootVcpus, info.Config.Memory.Size)
	}
}

// resizeRunning gives a guest of one CPU and 384 MiB, which may have two and 640 MiB, a second CPU, 128 MiB, and nothing else.
func (v *vmm) resizeRunning() {
	t := v.t
	t.Helper()
	must(t, v.client.Resize(t.Context(), ch.VmResize{DesiredVcpus: new(uint32(2)), DesiredRam: new(uint64(512 << 20))}))
	v.askUntil("0-1", "cpus")
	v.askUntil("536870912", "memory")
	v.online(2, 512<<20)
	for _, n := range []uint32{1, 2} {
		must(t, v.client.Resize(t.Context(), ch.VmResize{DesiredVcpus: &n}))
		v.online(int(n), 512<<20)
	}
	for why, n := range map[string]uint64{
		"The requested hotplug memory addition is not a valid size": 576 << 20, "Not enough space in the hotplug RAM region": 1 << 30,
	} {
		chainEnds(t, v.client.Resize(t.Context(), ch.VmResize{DesiredRam: &n}), 500, "Memory manager error", why)
	}
}

// online has the guest's agent take what it was given into use, and give back what goes.
func (v *vmm) online(cpus int, memory int64) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	session := v.agent(ctx)
	defer session.Close()
	must(v.t, session.Configure(ctx, proto.Config{}))
	must(v.t, session.Online(ctx, cpus, memory))
}
