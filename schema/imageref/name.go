package imageref

import (
	"strings"

	"microagent/schema/pattern"
)

// The grammar of names is that of github.com/distribution/reference, which compiles its expressions in every program that
// imports it. The tests hold this to it.
var (
	hostForm = pattern.Of(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$`)
	partForm = pattern.Of(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	tagForm  = pattern.Of(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$`)
	bareHex  = pattern.Of(`^[0-9a-f]{64}$`)
)

const (
	defaultHost = "docker.io"
	olderHost   = "index.docker.io" // means the same
	official    = "library/"        // of names there that have one part
	maxName     = 255               // bytes of a name behind its host
)

// name is a reference to an image of a registry, as docker has them. Tag and digest may be "".
type name struct{ host, path, tag, digest string }

// parseName reads a name with what docker adds to it.
func parseName(text string) (n name, ok bool) {
	if bareHex().MatchString(text) { // docker takes it for an ID
		return n, false
	}
	rest, digest, digested := strings.Cut(text, "@")
	if digested && !IsDigest(digest) {
		return n, false
	}
	n.digest = digest
	first, behind, both := strings.Cut(rest, "/")
	if isHost := first == "localhost" || strings.ContainsAny(first, ".:") || strings.ToLower(first) != first; both && isHost {
		n.host, rest = first, behind
	}
	if n.host == "" || n.host == olderHost {
		n.host = defaultHost
	}
	path, tag, tagged := strings.Cut(rest, ":")
	if n.path, n.tag = path, tag; n.host == defaultHost && !strings.Contains(path, "/") {
		n.path = official + path
	}
	if len(n.path) > maxName || !hostForm().MatchString(n.host) || tagged && !tagForm().MatchString(tag) {
		return n, false
	}
	for part := range strings.SplitSeq(n.path, "/") {
		if !partForm().MatchString(part) {
			return n, false
		}
	}
	return n, true
}

// String is the full form: what has neither tag nor digest has the tag latest.
func (n name) String() string {
	s := n.host + "/" + n.path
	if n.tag == "" && n.digest == "" {
		return s + ":latest"
	}
	if n.tag != "" {
		s += ":" + n.tag
	}
	if n.digest != "" {
		s += "@" + n.digest
	}
	return s
}
