package spec

import "strings"

// Guest is what the guest of a workspace is told to be: the keys of a workspace in a manifest that the guest itself acts
// on. It travels whole, from the manifest through plan, record and supervisor to the guest's Configure, so that a key is
// a field here, with a row in Texts when it is plain text, its words in schema.cue, its effect in
// plan/observed/policy.go, its flag in cmd/microagent/cli/compose.go and its act in runtime/guest/initd.
//
// A manifest's Guest is as declared; that of a Process has the image's config merged in.
type Guest struct {
	Env     map[string]string `json:"env,omitempty"`
	User    string            `json:"user,omitempty"`    // "name", "uid", "name:group", "uid:gid"; "" the image's
	Workdir string            `json:"workdir,omitempty"` // absolute, clean; "" the image's
	// Hostname is what the guest is called and resolves to itself; "" the workspace's own name.
	Hostname string `json:"hostname,omitempty"`
}

// Text is a key of a Guest that is plain text: Key is its name in a manifest and in JSON.
type Text struct {
	Key   string
	Value *string // in the Guest; "" when the key is absent
}

// Texts are the keys of g that are plain text. They are read, compared and shown one like the other.
func (g *Guest) Texts() []Text {
	return []Text{
		{"user", &g.User},
		{"workdir", &g.Workdir},
		{"hostname", &g.Hostname},
	}
}

// WantHostname completes "write ..." for a Hostname that is none.
const WantHostname = "letters, digits and inner hyphens, 63 at most between dots and 64 in all, such as db or db.example.com"

// ValidHostname says whether a guest can be called name: labels as in RFC 1123, section 2.1, of 63 bytes at most (RFC
// 1035, section 2.3.4), joined by dots, in the 64 bytes that sethostname(2) takes. Either case is kept as it is written.
func ValidHostname(name string) bool {
	if len(name) > 64 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
