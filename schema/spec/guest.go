package spec

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
	}
}
