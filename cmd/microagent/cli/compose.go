package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"microagent/apply"
	"microagent/apply/folder"
	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// composeFlags describe a workspace on the command line, for run and create.
type composeFlags struct {
	image                   string
	volumes, disks, bundles []string
	outputs                 []string
	env, envFiles           []string
	ports                   []string
	network                 networkFlags
	guest                   spec.Guest
	isolation               string
	fresh                   bool
	cpus, maxCPUs           int
	memory, maxMemory, disk string
	timeout                 time.Duration
	how                     apply.Writing
}

func (o *composeFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.image, "image", "", "image of the root file system")
	f.StringArrayVarP(&o.volumes, "volume", "v", nil, "`SOURCE:/mount[:ro|rw]`: a volume's name, a .tar or an .ext4; :size=1GiB makes the volume")
	f.StringArrayVar(&o.disks, "disk", nil, "`name=PATH:/mount[:ro|rw]`: an ext4 image or block device of yours")
	f.StringArrayVar(&o.bundles, "bundle", nil, "`name=PATH:/mount[:ro]`: a tar or a directory")
	f.StringArrayVarP(&o.env, "env", "e", nil, "`NAME=VALUE`, or NAME to pass ours on")
	f.StringArrayVar(&o.envFiles, "env-file", nil, "a file of NAME=VALUE lines")
	f.StringVarP(&o.guest.User, "user", "u", "", "user, uid, or either with :group")
	f.StringVarP(&o.guest.Workdir, "workdir", "w", "", "working directory")
	f.StringVar(&o.guest.Hostname, "hostname", "", "host name of the guest (default the workspace's name)")
	addPorts(f, &o.ports, "`[ADDR:]HOST:GUEST[/tcp|udp]`: a port of the guest on the host's loopback; HOST may be auto, and unix:PATH:GUEST is a socket")
	o.cpus = 1
	f.Var(whole{&o.cpus, 1, 254}, "cpus", "virtual CPUs")
	o.network.add(f, "what the guest may reach, at port 443 unless others are named; host:PORT is a port of this host")
	f.Var(whole{&o.maxCPUs, 1, 254}, "max-cpus", "virtual CPUs that it may get while it runs")
	f.StringVar(&o.memory, "memory", "256MiB", "memory")
	f.StringVar(&o.maxMemory, "max-memory", "", "memory that it may get while it runs")
	f.StringVar(&o.disk, "disk-size", "1GiB", "size of the root file system")
	f.StringVar(&o.isolation, "isolation", "any", "any, or hardware to refuse emulation")
	f.BoolVar(&o.fresh, "boot", false, bootUsage+" at each start")
}

// bootUsage is what --boot of a command asks for.
const bootUsage = "boot the guest, and make it no copy of one that was booted before,"

// parsed is a workspace's description with its mounts still to be found.
type parsed struct {
	spec    observed.WorkspaceSpec
	mounts  []mountFlag
	outputs []outputFlag
	oneShot bool // the workspace is gone with this process
}

func (o *composeFlags) parse(a *app, name string) (parsed, error) {
	p := parsed{spec: observed.WorkspaceSpec{Name: name, Image: o.image, CPUs: o.cpus, Guest: o.guest,
		Isolation: spec.Isolation(o.isolation), Timeout: o.timeout, Mode: spec.ModeIdle, Desired: spec.DesiredRunning}}
	if o.fresh {
		p.spec.Boot = spec.BootFresh
	}
	if o.image == "" {
		return p, errors.New("an image is missing")
	}
	if !slices.Contains([]string{"any", "hardware"}, o.isolation) {
		return p, fmt.Errorf("--isolation is %q; it can be any or hardware", o.isolation)
	}
	if h := o.guest.Hostname; h != "" && !spec.ValidHostname(h) {
		return p, fmt.Errorf("--hostname is %q; write %s", h, spec.WantHostname)
	}
	if err := checkProcess(o.guest.User, o.guest.Workdir); err != nil {
		return p, err
	}
	memory, err := quantity.ParseMemory(o.memory)
	if err != nil {
		return p, fmt.Errorf("--memory: %w", err)
	}
	disk, err := quantity.ParseDisk(o.disk)
	if err != nil {
		return p, fmt.Errorf("--disk-size: %w", err)
	}
	p.spec.Memory, p.spec.DiskSize = memory.Bytes(), disk.Bytes()
	if err := o.parseMost(&p.spec); err != nil {
		return p, err
	}
	var env []string
	for _, file := range o.envFiles {
		lines, err := envFile(file)
		if err != nil {
			return p, fmt.Errorf("--env-file: %w", err)
		}
		env = append(env, lines...)
	}
	if p.spec.Env, err = environment(append(env, o.env...), os.LookupEnv); err != nil {
		return p, err
	}
	if p.spec.Ports, err = parsePorts(o.ports); err != nil {
		return p, err
	}
	if err := o.network.parse(); err != nil {
		return p, err
	}
	p.spec.Network = o.network.widen(nil)
	if err := o.parseMounts(&p); err != nil {
		return p, err
	}
	return p, o.checkOutputPlaces(a, &p)
}

// parseMost reads what a workspace may get while it runs, once what it begins with is known.
func (o *composeFlags) parseMost(w *observed.WorkspaceSpec) error {
	if w.MaxCPUs = o.maxCPUs; o.maxCPUs != 0 && o.maxCPUs < o.cpus {
		return fmt.Errorf("--max-cpus is %d, and --cpus %d", o.maxCPUs, o.cpus)
	}
	if o.maxMemory == "" {
		return nil
	}
	most, err := quantity.ParseMemory(o.maxMemory)
	if err != nil {
		return fmt.Errorf("--max-memory: %w", err)
	}
	if w.MaxMemory = most.Bytes(); w.MaxMemory < w.Memory {
		return fmt.Errorf("--max-memory is %s, and --memory %s", o.maxMemory, o.memory)
	}
	return nil
}

func (o *composeFlags) parseMounts(p *parsed) error {
	add := func(m mountFlag, err error) error {
		if err != nil {
			return err
		}
		for _, other := range p.mounts {
			if other.path == m.path {
				return fmt.Errorf("two mounts at %s", m.path)
			}
			if other.name == m.name {
				return fmt.Errorf("two mounts have the name %s; --disk NAME=PATH:/mount and --bundle NAME=PATH:/mount give them others", m.name)
			}
		}
		p.mounts = append(p.mounts, m)
		return nil
	}
	for _, text := range o.volumes {
		if err := add(parseVolume(text)); err != nil {
			return err
		}
	}
	for _, text := range o.disks {
		if err := add(parseNamed(spec.MountDisk, text)); err != nil {
			return err
		}
	}
	for _, text := range o.bundles {
		if err := add(parseNamed(spec.MountBundle, text)); err != nil {
			return err
		}
	}
	for _, text := range o.outputs {
		e, err := parseOutput(text)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(e.host); err == nil && !o.how.Over {
			return apply.Taken(e.name, e.host)
		}
		p.outputs = append(p.outputs, e)
		p.spec.Outputs = append(p.spec.Outputs, spec.Output{Name: e.name, Path: e.guest, MayBeUnchanged: e.unchanged})
	}
	slices.SortFunc(p.spec.Outputs, func(a, b spec.Output) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// envFile reads NAME=VALUE lines; empty ones and those that begin with # are left out.
func envFile(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list, s.Err()
}

// compose finds what is attached and creates the workspace; nothing is started.
func (a *app) compose(ctx context.Context, w *world, p parsed) (driver.Workspace, error) {
	for _, m := range p.mounts {
		mount := spec.Mount{Path: m.path, Kind: m.kind, Name: m.name, Source: m.source, ReadOnly: m.readOnly}
		if m.kind == spec.MountVolume {
			v, err := a.attachVolume(ctx, w, m)
			if err != nil {
				return driver.Workspace{}, err
			}
			mount.Name, mount.Source = v.Name, v.ID
		} else if _, err := os.Stat(m.source); errors.Is(err, fs.ErrNotExist) {
			return driver.Workspace{}, &driver.Error{Class: driver.ErrNotFound, Op: "attach " + string(m.kind), Object: m.source,
				Err: errors.New("there is no such file")}
		}
		p.spec.Mounts = append(p.spec.Mounts, mount)
	}
	slices.SortFunc(p.spec.Mounts, func(a, b spec.Mount) int { return strings.Compare(a.Path, b.Path) })
	files, err := folder.Free(".") // paths on the command line are the user's own
	if err != nil {
		return driver.Workspace{}, err
	}
	defer files.Close()
	progress, done := a.StartProgress("create " + p.spec.Name)
	defer done()
	return apply.Single(ctx, w.Set, files, p.spec, p.oneShot, progress)
}
