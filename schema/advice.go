package schema

import (
	"slices"
	"strings"

	"microagent/schema/spec"
)

// hostDirectory is the way out for everything that would share a folder of the host with a guest.
const hostDirectory = "pack it as a bundle (bundles: {NAME: {source: ./dir}}) to read it, use a volume to keep data, " +
	"or copy with cp"

// networkShape is how a workspace says what its guest may reach.
const networkShape = "write below a workspace what it may reach: network: {allow: [{name: api, host: api.example.com}]}"

// advice is what people write who know another tool, by the definition in which they write it ("" is the manifest),
// and what to write here. A value that begins with "=" is the key to use.
var advice = map[string]map[string]string{
	"": {
		"services": "=workspaces", "sandboxes": "=workspaces", "vms": "=workspaces", "machines": "=workspaces",
		"secrets": "leave it out: write variables below a workspace's env, or copy files in with cp",
		"ports":   "write it below a workspace: ports: {web: {guest: 8080, host: auto}}",
		"network": networkShape, "networks": networkShape,
		"name": "=project", "version": "leave it out: the format has no version key",
		"configs":   "use a bundle: bundles: {NAME: {source: ./dir}}, mounted read-only",
		"include":   "leave it out: a manifest is one file; what several share is written once as an anchor",
		"images":    "write it below a workspace: image: docker.io/library/alpine:3.20",
		"mounts":    "write it below a workspace: mounts: {/work: {volume: NAME}}",
		"provision": "leave it out: build an image with it, or have a task do it",
	},
	"#Workspace": {
		"command": "use task for a command that ends, or service for one that is expected to stay",
		"cmd":     "use task for a command that ends, or service for one that is expected to stay",
		"run":     "use task for a command that ends, or service for one that is expected to stay",
		"args":    "use task for a command that ends, or service for one that is expected to stay",
		"volumes": "=mounts", "environment": "=env", "working_dir": "=workdir", "workingDir": "=workdir",
		"cwd": "=workdir", "mem": "=memory", "mem_limit": "=memory", "ram": "=memory", "vcpus": "=cpus",
		"size": "=disk", "rootfs": "=image", "stop_grace_period": "=stopGrace", "state": "=desired",
		"depends_on": afterShape,
		"dependsOn":  afterShape, "requires": afterShape, "needs": afterShape, "before": afterShape,
		"healthcheck": "use ready, such as ready: {exec: [pg_isready], startPeriod: 30s} or ready: {port: 8080}",
		"health":      "=ready", "readiness": "=ready", "readinessProbe": "=ready", "livenessProbe": "=ready", "startupProbe": "=ready",
		"restart_policy": "=restart", "restartPolicy": "=restart",
		"env_file": "write the variables below env",
		"envFile":  "write the variables below env",
		"secrets":  "leave it out: write a variable below env, or copy a file in with cp",
		"build":    "build the image with another tool and name its file, as image: oci:DIR or docker-archive:FILE",
		"replicas": "leave it out: write a workspace for each",
		"deploy":   "use cpus, memory and disk of the workspace",
		"expose":   "=ports",
		"networks": networkShape, "network_mode": networkShape, "egress": networkShape, "allow": networkShape, "links": "name it below network, as peers: [NAME]",
		"peers":           "write it below network",
		"privileged":      "leave it out: the command may be root in its own guest",
		"vmm":             "leave it out: --vmm and the user's configuration choose the VMM; isolation: hardware demands one",
		"container_name":  "leave it out: a workspace is called as its key, and its host name is hostname",
		"labels":          "leave it out: the project's name and the workspace's are its only labels",
		"annotations":     "leave it out: the project's name and the workspace's are its only labels",
		"profiles":        "leave it out: write a manifest of its own, which -f names",
		"platform":        "leave it out: a guest has the host's processor, and an image's platform is chosen by it",
		"stop_signal":     "leave it out: the image's StopSignal is sent, or SIGTERM",
		"tmpfs":           "leave it out: /dev/shm is one, and what a workspace writes is on a disk of its own",
		"shm_size":        "leave it out: /dev/shm takes what memory the guest has",
		"cap_add":         "leave it out: the command may be root in its own guest",
		"cap_drop":        "leave it out: the command may be root in its own guest, and user makes it another",
		"init":            "leave it out: process 1 of each guest reaps what ends",
		"tty":             "leave it out: exec -it gives a process a terminal",
		"stdin_open":      "leave it out: exec -i passes input on",
		"logging":         "leave it out: logs shows what a task or service wrote",
		"devices":         "use disks, and mount one",
		"provision":       "leave it out: build an image with it, or have a task do it",
		"domainname":      "write it as a part of hostname, such as db.example.com",
		"read_only":       "leave it out: a root file system is the workspace's own; a mount has readOnly",
		"pull_policy":     "leave it out: apply --pull asks the registry again",
		"scale":           "leave it out: write a workspace for each",
		"gpus":            "leave it out: a guest has no devices of the host but disks",
		"dns":             networkShape,
		"extra_hosts":     "leave it out: /etc/hosts is a file of the image",
		"mem_reservation": "=memory",
	},
	"#Mount": {
		"read_only": "=readOnly", "ro": "=readOnly", "rw": "=readOnly", "path": hostDirectory, "source": hostDirectory,
		"hostPath": hostDirectory, "host": hostDirectory, "bind": hostDirectory, "type": hostDirectory,
		"target": "write the guest path as the key of the mount",
	},
	"#Volume": {
		"path": "use a disk for an image of yours: disks: {NAME: {path: ./disk.ext4}}", "hostPath": hostDirectory,
		"source": hostDirectory, "driver": "leave it out: a volume is an ext4 disk", "capacity": "=size",
	},
	"#Ready": {
		"test": "=exec", "command": "=exec", "cmd": "=exec", "tcp": "=port", "tcpSocket": "=port", "retries": "=failures",
		"failureThreshold": "=failures", "start_period": "=startPeriod", "initialDelaySeconds": "=startPeriod",
		"periodSeconds": "=interval", "timeoutSeconds": "=timeout", "path": "=file", "message": "=log", "on_loss": "=onLoss",
		"http": "use port, or exec with a client that the image has", "httpGet": "use port, or exec with a client that the image has",
		"start_interval": "leave it out: interval is the time between two probes from the start on",
		"disable":        "leave ready out",
	},
	"#Port": {
		"target": "=guest", "container": "=guest", "containerPort": "=guest", "port": "=guest", "published": "=host", "hostPort": "=host",
		"proto": "=protocol", "host_ip": "leave it out: a manifest publishes on loopback alone; -p ADDR:HOST:GUEST of create and start binds another address",
		"address": "leave it out: a manifest publishes on loopback alone; -p ADDR:HOST:GUEST of create and start binds another address",
	},
	"#Network": {
		"egress": "=allow", "rules": "=allow", "allowed": "=allow", "block": "=deny", "denied": "=deny", "links": "=peers",
		"ingress": "use ports of the workspace: {NAME: {guest: 8080, host: auto}}", "ports": "write it in a rule, or below the workspace to publish",
		"dns":  "leave it out: names are resolved as this host resolves them",
		"mode": "leave it out: --net none, policy or public of an apply chooses", "driver": "leave it out: there is one kind of network",
	},
	"#NetworkRule": {
		"domain": "=host", "hostname": "=host", "fqdn": "=host", "url": "=host", "ip": "=cidr", "address": "=cidr", "ipBlock": "=cidr", "range": "=cidr",
		"wildcard": "=suffix", "port": "=ports", "tcp": "=ports", "protocol": "use ports for TCP and udp for UDP",
	},
	"#Bundle": {"path": "=source", "src": "=source", "dir": "=source", "ignore": "=exclude"},
	"#Disk":   {"source": "=path", "file": "=path", "image": "=path"},
	"#Output": {"workspace": "=from", "source": "=path", "dest": "=to", "target": "=to", "maxSize": "=limit"},
}

// valueAdvice is what people write for a value who know another tool, by definition. It completes "write ...".
var valueAdvice = map[string]map[string]string{
	"#Restart": {
		"unless-stopped": "always: what was halted stays so until the next apply or start",
		"no":             "never", "false": "never", "true": "always", "onFailure": "on-failure", "on_failure": "on-failure",
	},
}

// hostKeys are the keys of a mount with which other tools share a host directory.
var hostKeys = []string{"path", "source", "hostPath", "host", "bind", "type"}

func (c *conformer) reportUnknownKey(e *entry, f *format, at address) {
	where := at.String()
	if where == "" {
		where = "the manifest"
	}
	if f.name == "#Mount" && slices.Contains(hostKeys, e.key) {
		c.error(e.at, "host_directory", "key "+quote(e.key)+" in "+where+": a host directory can't be mounted",
			hostDirectory)
		return
	}
	next := advice[f.name][e.key]
	if next == afterShape {
		next = afterAdvice(e.value)
	}
	if len(at) == 0 {
		next = advice[""][e.key]
	}
	if key, ok := strings.CutPrefix(next, "="); ok {
		next = "use " + key
	}
	if next == "" {
		if near := closest(e.key, f.order); near != "" {
			next = "did you mean " + near + "?"
		} else {
			next = "the keys here are " + strings.Join(f.order, ", ")
		}
	}
	c.error(e.at, "unknown_key", "unknown key "+quote(e.key)+" in "+where, next)
}

// afterShape is what to write for an order.
const afterShape = "use after, such as after: {db: ready, build: completed}"

// conditions are what compose waits for, in our words.
var conditions = map[string]spec.Until{
	"service_started": spec.UntilStarted, "service_healthy": spec.UntilReady, "service_completed_successfully": spec.UntilCompleted,
}

// afterAdvice writes an order of another tool, a list of names or compose's map, as after.
func afterAdvice(n *node) string {
	var parts []string
	add := func(name string, until spec.Until) { parts = append(parts, cut(name)+": "+string(until)) }
	for _, item := range n.items {
		if item.kind == scalar {
			add(item.text, spec.UntilStarted)
		}
	}
	for i := range n.entries {
		until := spec.UntilStarted
		if c := n.entries[i].value.get("condition"); c != nil && conditions[c.text] != "" {
			until = conditions[c.text]
		}
		add(n.entries[i].key, until)
	}
	if len(parts) == 0 || len(parts) > 8 {
		return afterShape
	}
	return "use after: {" + strings.Join(parts, ", ") + "}"
}

func (n *node) hostKey() bool {
	return slices.ContainsFunc(n.entries, func(e entry) bool { return slices.Contains(hostKeys, e.key) })
}

func (c *conformer) reportBadKey(e *entry, f *format, at address) {
	code := "bad_key"
	if f.elem != nil && len(at) == 1 {
		code = "bad_name"
	}
	next := "write " + f.keyWant
	if f.elem.name == "#Mount" && !strings.HasPrefix(e.key, "/") {
		next = "write an absolute path in the guest as the key, such as /" + strings.TrimLeft(cut(e.key), "./~")
	}
	c.error(e.at, code, quote(e.key)+" can't be a key of "+at.String(), next)
}

// mountAdvice answers a mount that is a text, as other tools have it.
func mountAdvice(where, text string) (summary, next string) {
	if strings.ContainsAny(text, "/.~") {
		return where + " is " + quote(text) + ": a host directory can't be mounted", hostDirectory
	}
	return where + " must say what it mounts", "write {volume: " + cut(text) + "}, {bundle: " + cut(text) +
		"} or {disk: " + cut(text) + "}"
}

// closest gives the candidate that text is most likely a slip of, "" when none is near.
func closest(text string, candidates []string) string {
	if len(text) > 64 {
		return ""
	}
	best, distance := "", 1+min(2, len(text)/3)
	text = plain(text)
	for _, c := range candidates {
		p := plain(c)
		if more := len(p) - len(text); more >= distance || -more >= distance {
			continue
		}
		if d := edits(text, p); d < distance {
			best, distance = c, d
		}
	}
	return best
}

var separators = strings.NewReplacer("_", "", "-", "")

func plain(s string) string { return separators.Replace(strings.ToLower(s)) }

// edits counts the letters to insert, delete, change or swap with their neighbour to make b of a.
func edits(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	now := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
