package cli

import (
	"errors"
	"fmt"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/pflag"
)

// pointer leads from a word of another tool to ours.
type pointer struct {
	why  string
	next string // a command; NAME in it is the argument that was given
}

// commandPointers are the commands that users of docker, compose, lima and multipass type.
var commandPointers = map[string]pointer{
	"up":           {"a manifest is brought up by apply", "microagent apply"},
	"down":         {"what applies created is taken away by destroy, and volumes stay", "microagent destroy"},
	"shell":        {"a shell is a process in a running workspace", "microagent exec -it NAME -- sh"},
	"ssh":          {"a shell is a process in a running workspace", "microagent exec -it NAME -- sh"},
	"attach":       {"what a task or service writes is in its log", "microagent logs -f NAME"},
	"kill":         {"a workspace is stopped by halt, and a job in it by halt --job", "microagent halt --force NAME"},
	"jobs":         {"what exec -d began is listed by list", "microagent list --jobs"},
	"inspect":      {"status has all that is known of a workspace", "microagent status NAME --json"},
	"info":         {"status has all that is known of a workspace", "microagent status NAME --json"},
	"port-forward": {"a port of a running workspace is reached by forward", "microagent forward NAME 8080"},
	"port":         {"status shows where ports are published", "microagent status NAME"},
	"snapshot":     {"snapshots are of volumes; cp brings a stopped workspace's files out", "microagent volume snapshot --help"},
	"build":        {"images are built by other tools, and used from a file, such as image: oci:DIR", "microagent image import --help"},
	"edit":         {"a workspace is what its manifest says: change that, and apply it", "microagent apply"},
	"pause":        {"there is no pause; a workspace is stopped by halt, and its disks stay", "microagent halt NAME"},
	"system":       {"what nothing uses is removed by prune", "microagent prune"},
	"login":        {"registries get the credentials of docker's configuration, which docker login writes", "microagent image pull --help"},
	"images":       {"images have a command of their own", "microagent image list"},
	"pull":         {"images have a command of their own", "microagent image pull NAME"},
	"rmi":          {"images have a command of their own", "microagent image rm NAME"},
	"config":       {"a manifest is checked by validate", "microagent validate"},
	"init":         {"a manifest is a file of yours; examples/hello is one to begin with", "microagent schema"},
	"sh":           {"a shell is a process in a running workspace", "microagent exec -it NAME -- sh"},
	"enter":        {"a shell is a process in a running workspace", "microagent exec -it NAME -- sh"},
	"connect":      {"a shell is a process in a running workspace", "microagent exec -it NAME -- sh"},
	"console":      {"the kernel's console is in the logs", "microagent logs --console NAME"},
	"launch":       {"a workspace is made by create, and started by start", "microagent create --help"},
	"new":          {"a workspace is made by create, and started by start", "microagent create --help"},
	"suspend":      {"there is no pause; a workspace is stopped by halt, and its disks stay", "microagent halt NAME"},
	"unpause":      {"there is no pause; a workspace that was stopped is started", "microagent start NAME"},
	"resume":       {"there is no pause; a workspace that was stopped is started", "microagent start NAME"},
	"copy":         {"files are copied by cp", "microagent cp --help"},
	"transfer":     {"files are copied by cp", "microagent cp --help"},
	"mount":        {"a guest sees block devices and no folder of the host", "microagent storage"},
	"umount":       {"a guest sees block devices and no folder of the host", "microagent storage"},
	"scale":        {"a manifest has a workspace for each", "microagent schema"},
	"commit":       {"an image is built by another tool; cp brings a workspace's files out", "microagent cp --help"},
	"save":         {"an image is built by another tool; cp brings a workspace's files out", "microagent cp --help"},
	"export":       {"an image is built by another tool; cp brings a workspace's files out", "microagent cp --help"},
	"load":         {"images have a command of their own", "microagent image import --help"},
	"import":       {"images have a command of their own", "microagent image import --help"},
	"purge":        {"what nothing uses is removed by prune", "microagent prune"},
	"container":    {"workspaces have commands without a word before them", "microagent list"},
	"workspace":    {"workspaces have commands without a word before them", "microagent list"},
	"volumes":      {"volumes have a command of their own", "microagent volume list"},
	"diff":         {"what an apply would change is shown by plan", "microagent plan"},
}

// runFlagPointers are flags of docker run.
var runFlagPointers = map[string]pointer{
	"rm":      {"a run's workspace is deleted when it ends; --keep keeps it", ""},
	"detach":  {"run waits for its command; a workspace that goes on is made by create and start, and exec -d begins a command in it", "microagent create --help"},
	"d":       {"run waits for its command; a workspace that goes on is made by create and start, and exec -d begins a command in it", "microagent create --help"},
	"name":    {"a run's workspace has a name of its own; one with a name of yours is made by create", "microagent create --help"},
	"network": {"--allow-net HOST says what the guest may reach, and --net public every public address as well", ""},
	"mount":   {"data comes in by a volume, a bundle or a disk: -v, --bundle, --disk", "microagent storage"},
	"restart": {"a command that is expected to stay is a service of a manifest, and its restart: says when it begins anew", "microagent schema"},

	"m":          {"memory is --memory, with a unit such as 512MiB", ""},
	"pull":       {"an image that is not in the store is pulled; image pull asks for its newest", "microagent image pull --help"},
	"privileged": {"the command may be root in its own guest", ""},
	"cap-add":    {"the command may be root in its own guest", ""},
	"cap-drop":   {"the command may be root in its own guest, and --user makes it another", ""},
	"tmpfs":      {"/dev/shm is one; what a workspace writes is on a disk of its own", ""},
	"shm-size":   {"/dev/shm takes what memory the guest has", ""},
	"device":     {"a block device or an image is attached by --disk", "microagent storage"},
	"gpus":       {"a guest has no devices of the host but disks", ""},
	"init":       {"process 1 of each guest reaps what ends", ""},
	"platform":   {"a guest has the host's processor, and an image's platform is chosen by it", ""},
	"add-host":   {"/etc/hosts is a file of the image", ""},
	"expose":     {"a guest's port is published by -p", ""},
}

// flagPointers are flags of docker's other commands, behind our own.
var flagPointers = map[string]pointer{
	"list a":    {"list shows workspaces that are stopped, too", "microagent list"},
	"list all":  {"list shows workspaces that are stopped, too", "microagent list"},
	"list q":    {"--json is for programs; list shows names first", "microagent list"},
	"halt t":    {"how long the guest may take is --grace, such as --grace 5s", ""},
	"halt time": {"how long the guest may take is --grace, such as --grace 5s", ""},
	"logs n":    {"the last lines are --tail N", ""},
	"start a":   {"what a task or service writes is in its log", ""},
}

// pointToOurs turns an error of usage into one that leads to the word of ours for what was typed.
func pointToOurs(u *usageError, args []string) *usageError {
	if missing, ok := errors.AsType[*pflag.NotExistError](u.err); ok && (u.command == "microagent run" || u.command == "microagent create") {
		if p, ok := runFlagPointers[missing.GetSpecifiedName()]; ok {
			u.err, u.next = fmt.Errorf("%w: %s", u.err, p.why), p.next
		}
		return u
	}
	if missing, ok := errors.AsType[*pflag.NotExistError](u.err); ok && missing.GetSpecifiedName() == "p" {
		u.err = fmt.Errorf("%w: -p publishes a port, with run, create and start; the project's name is --project", u.err)
		return u
	}
	if missing, ok := errors.AsType[*pflag.NotExistError](u.err); ok {
		if p, ok := flagPointers[strings.TrimPrefix(u.command, "microagent ")+" "+missing.GetSpecifiedName()]; ok {
			u.err, u.next = fmt.Errorf("%w: %s", u.err, p.why), p.next
			return u
		}
	}
	if u.command != "microagent" {
		return u
	}
	for i, word := range args {
		p, ok := commandPointers[word]
		if !ok {
			continue
		}
		name := "NAME"
		if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			name = shellescape.Quote(args[i+1])
		}
		u.err, u.next = fmt.Errorf("there is no command %q: %s", word, p.why), strings.ReplaceAll(p.next, "NAME", name)
		return u
	}
	return u
}
