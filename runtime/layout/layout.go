// Package layout knows every path and file name below the state directory, and how a file gets there: whole
// or not at all. It holds no other knowledge of what the files mean. The rooms of runtime, apply/refresh and
// the commands import it.
//
//	format                          the version of this layout and the tool that wrote it
//	older/vTOOL/                    the records as that version of the tool left them, by the names that they had
//	volumes/NAME.ext4               a volume's disk
//	volumes/NAME.json               its record
//	volumes/NAME.ext4.holder.json   who holds or last held its lease (no record can have this name)
//	snapshots/VOLUME/TAG.ext4       a snapshot of a volume, and TAG.json its record; they outlive the volume
//	bundles/NAME.json               the record of a project's bundle (the disk is in the cache)
//	workspaces/NAME/record.json     a workspace's record
//	workspaces/NAME/run.json        its newest run, written by the supervisor alone
//	workspaces/NAME/loss.json       what the newest end of a run cost that nobody asked for; loss.shown names the run whose was shown
//	workspaces/NAME/rootfs.ext4     its root file system; rootfs.prev is the one before a replacement, or that of
//	                                a workspace which is gone, and record.prev its record
//	workspaces/NAME/again           is there while it is stopped to run again, for whoever comes after an interruption
//	workspaces/NAME/outputs/OUT/    outputs that were fetched
//	workspaces/NAME/jobs/ID/        a job: job.json, output.log, outputs/OUT/, and an empty taken/OUT once that was brought out
//	workspaces/NAME/*.log           output.log (stdout and stderr in their order, framed), console.log, stdout.log, stderr.log, vmm.log, supervisor.log, network.log
//	workspaces/NAME/control.sock    the supervisor's, and vmm/*.sock the VMM's, while it runs
//	projects/NAME.json              where a project's manifest is
//	locks/KIND.NAME                 flock files, never unlinked
//	cache/disks/KEY.ext4            disks by content key
//	cache/programs.json             what VMMs said of their versions, and which files they were then
//	images/                         containerd's content store and the names of images
//	kernels/ARCH/ID/                kernel, modules and initramfs
//	templates/KEY/                  a guest that was stopped before it was configured: its memory, the VMM's state, template.json
package layout

import (
	"path/filepath"
)

// State is a state directory.
type State struct {
	Dir string
	// Command is what this process runs, for those who find a lock taken: "microagent apply". Empty: the
	// program's name and first argument.
	Command string
}

func (s State) join(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

func (s State) FormatFile() string               { return s.join("format") }
func (s State) Older() string                    { return s.join("older") }
func (s State) Volumes() string                  { return s.join("volumes") }
func (s State) VolumeImage(name string) string   { return s.join("volumes", name+".ext4") }
func (s State) VolumeRecord(name string) string  { return s.join("volumes", name+".json") }
func (s State) VolumeHolder(name string) string  { return s.join("volumes", name+holderSuffix) }
func (s State) Snapshots() string                { return s.join("snapshots") }
func (s State) SnapshotsOf(volume string) string { return s.join("snapshots", volume) }
func (s State) SnapshotImage(volume, tag string) string {
	return s.join("snapshots", volume, tag+".ext4")
}
func (s State) SnapshotRecord(volume, tag string) string {
	return s.join("snapshots", volume, tag+".json")
}
func (s State) Bundles() string                   { return s.join("bundles") }
func (s State) BundleRecord(name string) string   { return s.join("bundles", name+".json") }
func (s State) Workspaces() string                { return s.join("workspaces") }
func (s State) Workspace(name string) Workspace   { return Workspace{s.join("workspaces", name)} }
func (s State) Projects() string                  { return s.join("projects") }
func (s State) ProjectRecord(name string) string  { return s.join("projects", name+".json") }
func (s State) ProjectEvents(name string) string  { return s.join("projects", name+".events") }
func (s State) Locks() string                     { return s.join("locks") }
func (s State) LockFile(kind, name string) string { return s.join("locks", kind+"."+name) }
func (s State) DiskCache() string                 { return s.join("cache", "disks") }
func (s State) CachedDisk(key string) string      { return s.join("cache", "disks", key+".ext4") }
func (s State) Programs() string                  { return s.join("cache", "programs.json") }
func (s State) Images() string                    { return s.join("images") }
func (s State) Templates() string                 { return s.join("templates") }
func (s State) Kernels(arch string) string        { return s.join("kernels", arch) }
func (s State) Kernel(arch, id string) string     { return s.join("kernels", arch, id) }

// holderSuffix ends the name of a file that is no record.
const holderSuffix = ".ext4.holder.json"

// Workspace is a workspace's folder. Names of sockets are relative to it as well: a VMM runs in the folder
// of its own, and others dial through /proc/self/fd, so that no path is ever too long.
type Workspace struct{ Dir string }

// File names in a workspace's folder.
const (
	RecordFile    = "record.json"
	RunFile       = "run.json"
	LossFile      = "loss.json"
	LossShownFile = "loss.shown"
	RootFSFile    = "rootfs.ext4"
	RootFSPrev    = "rootfs.prev"
	RecordPrev    = "record.prev"
	AgainFile     = "again" // empty
	OutputsDir    = "outputs"
	JobsDir       = "jobs"
	JobFile       = "job.json"
	JobTakenDir   = "taken"
	ConsoleLog    = "console.log"
	OutputLog     = "output.log"
	StdoutLog     = "stdout.log"
	StderrLog     = "stderr.log"
	VMMLog        = "vmm.log"
	SupervisorLog = "supervisor.log"
	NetworkLog    = "network.log" // records of what the guest's network denied, a line each
	ControlSocket = "control.sock"
	VMMDir        = "vmm"                    // the sockets that the VMM serves: it may write in no other folder
	PluggedDir    = VMMDir + "/disks"        // links to the disks that were plugged into a VMM which may open nothing elsewhere
	TemplateDir   = PluggedDir + "/template" // what such a VMM reads a template from, or writes it to, until the guest goes on
	APISocket     = VMMDir + "/api.sock"
	VsockSocket   = VMMDir + "/vsock.sock"
	SerialSocket  = VMMDir + "/serial.sock"
)

func (w Workspace) File(name string) string   { return filepath.Join(w.Dir, name) }
func (w Workspace) Record() string            { return w.File(RecordFile) }
func (w Workspace) RecordPrev() string        { return w.File(RecordPrev) }
func (w Workspace) Again() string             { return w.File(AgainFile) }
func (w Workspace) Run() string               { return w.File(RunFile) }
func (w Workspace) Loss() string              { return w.File(LossFile) }
func (w Workspace) LossShown() string         { return w.File(LossShownFile) }
func (w Workspace) RootFS() string            { return w.File(RootFSFile) }
func (w Workspace) Outputs() string           { return w.File(OutputsDir) }
func (w Workspace) Output(name string) string { return filepath.Join(w.Dir, OutputsDir, name) }
func (w Workspace) Jobs() string              { return w.File(JobsDir) }

// Job is the folder of a job, with the files of a run that a job has as well.
func (w Workspace) Job(id string) Workspace { return Workspace{filepath.Join(w.Dir, JobsDir, id)} }
