package output

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// maxHops is how many links Linux follows in one path before it gives up.
const maxHops = 40

var errEscapes = errors.New("leads outside")

// checkLinks refuses links that lead out of the tree when they are followed as the kernel does it: ".." goes up
// from where a link led to, not from where it stands.
func (t tree) checkLinks() error {
	for _, name := range t.paths() {
		e := t[name]
		if e.kind != kindLink {
			continue
		}
		hops := 0
		if _, err := t.follow(path.Dir(name), e.target, &hops); errors.Is(err, errEscapes) {
			return refuse(name, fmt.Errorf("it is a link to %q, outside the tree", e.target))
		}
	}
	return nil
}

// follow resolves target from the folder dir. A chain that the kernel would not follow leads nowhere.
func (t tree) follow(dir, target string, hops *int) (string, error) {
	if *hops++; *hops > maxHops {
		return dir, nil
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
			continue
		case "..":
			if dir == "." {
				return "", errEscapes
			}
			dir = path.Dir(dir)
			continue
		}
		next := path.Join(dir, part)
		e, ok := t[next]
		if !ok || e.kind != kindLink {
			dir = next
			continue
		}
		var err error
		if dir, err = t.follow(dir, e.target, hops); err != nil {
			return "", err
		}
		if *hops > maxHops {
			return dir, nil
		}
	}
	return dir, nil
}
