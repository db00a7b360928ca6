package schema

import (
	"path"
	"strconv"
	"strings"

	"microagent/schema/diag"
)

// checkWorkspace checks one workspace by itself and gives the host paths that its image claims.
func (c *checker) checkWorkspace(at address, e *entry) []claim {
	n := e.value
	if n.bad {
		return nil
	}
	task, service := n.entry("task"), n.entry("service")
	if task != nil && service != nil {
		later := task
		if later.at.before(service.at) {
			later = service
		}
		c.error(later.at, "conflict", at.String()+" has both task and service",
			"keep task for a command that ends, or service for one that is expected to stay")
	}
	if t := n.entry("timeout"); t != nil && n.get("task") == nil {
		c.error(t.at, "conflict", at.String()+" has a timeout and no task",
			"leave timeout out: it ends a task that takes too long")
	}
	c.checkSize(at, n)
	c.checkReady(at.with("ready"), n)
	c.checkRestart(at.with("restart"), n)
	c.checkUser(at.with("user"), n.entry("user"))
	c.warnLiteral(at.with("env"), n.get("env"))
	c.checkMounts(at.with("mounts"), n.get("mounts"))
	c.checkNetwork(at[1], at.with("network"), n.entry("network"))
	if image := n.entry("image"); image != nil {
		return c.checkImage(image, at.with("image"))
	}
	return nil
}

func (p place) before(q place) bool { return p.line < q.line || p.line == q.line && p.col < q.col }

func (c *checker) checkMounts(at address, n *node) {
	seen := map[string]place{}
	var good []mountAt
	for key, e := range each(n) {
		if e.bad {
			continue
		}
		clean := path.Clean(key)
		if strings.TrimSuffix(key, "/") != clean && key != clean {
			c.error(e.at, "bad_key", at.String()+": "+quote(key)+" is not the plainest form of its path", "write "+quote(clean))
		}
		root := kernelOwned(clean)
		if root != "" {
			c.error(e.at, "mount_forbidden", at.String()+": nothing can be mounted at "+quote(key)+", which is "+root,
				"mount it somewhere else, such as /work")
		}
		if first, twice := seen[clean]; twice {
			c.error(e.at, "mount_conflict", at.String()+": "+quote(key)+" is the same path as the mount in line "+
				strconv.Itoa(first.line), "choose another path for one of the two")
		} else {
			seen[clean] = e.at
		}
		if !e.value.bad {
			c.checkMount(at.with(key), e)
			c.checkUser(at.with(key).with("owner"), e.value.entry("owner"))
			if root == "" {
				good = append(good, mountAt{clean, e.at, isReadOnly(e.value)})
			}
		}
	}
	c.checkNesting(at, good)
}

// kernelOwned says what a guest path is that no mount may hide, "" for any other.
func kernelOwned(clean string) string {
	if clean == "/" {
		return "the root file system"
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if clean == dir || strings.HasPrefix(clean, dir+"/") {
			return "the kernel's"
		}
	}
	return ""
}

// mountKinds are the keys of which a mount has exactly one, and the sections that they refer to.
var mountKinds = []struct{ key, section string }{{"volume", "volumes"}, {"bundle", "bundles"}, {"disk", "disks"}}

func (c *checker) checkMount(at address, e *entry) {
	n := e.value
	var first *entry
	some := n.misspells("volume", "bundle", "disk") || n.hostKey()
	for _, k := range mountKinds {
		some = some || n.get(k.key) != nil
		src := n.entry(k.key)
		if src == nil {
			continue
		}
		c.checkReference(src, k.section, at.with(k.key))
		if first == nil {
			first = src
			continue
		}
		later := src
		if later.at.before(first.at) {
			later = first
		}
		c.error(later.at, "conflict", at.String()+" has both "+first.key+" and "+src.key,
			"keep one of them: a mount attaches one thing")
	}
	if !some {
		c.error(e.at, "missing_field", at.String()+" does not say what it mounts",
			"add volume: NAME, bundle: NAME or disk: NAME")
	}
	readOnly := n.entry("readOnly")
	isBundle := n.get("bundle") != nil
	if isBundle && readOnly != nil && !strings.EqualFold(readOnly.value.text, "true") {
		c.error(readOnly.at, "conflict", at.String()+" is a bundle, which is always read-only",
			"leave readOnly out, or use a volume for what the guest writes")
	}
	if isReadOnly(n) {
		for _, key := range []string{"owner", "mode"} {
			if o := n.entry(key); o != nil {
				c.add(diag.Warning, o.at, "no_effect", at.with(key).String()+" has no effect on a read-only mount", "",
					"leave it out")
			}
		}
	}
}

// misspells says that n has a bad key that is meant to be one of the names.
func (n *node) misspells(names ...string) bool {
	for i := range n.entries {
		if e := &n.entries[i]; e.bad && closest(e.key, names) != "" {
			return true
		}
	}
	return false
}
