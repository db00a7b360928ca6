package folder

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Claim is a path that the manifest names and that no output may write: what it reads, and the other outputs.
type Claim struct {
	What    string   // for messages: "the source of bundle src"
	Path    string   // as the manifest has it
	Output  bool     // it is an output's own target
	Exclude []string // names that are no part of a source
}

// inside is how an output meets a folder that is read.
const inside = "lies inside"

// spot is where a path leads, by what is there: the last thing on the way that exists, and what is missing behind it.
type spot struct {
	id   id
	rest string
}

// claims are the claimed spots, and the folders above each.
type claims struct {
	at    map[spot][]Claim
	above map[id]Claim
	made  map[string]bool // what outputs make on their ways, themselves included, by absolute path
}

// Claim keeps outputs off what is claimed, in the place of what was claimed before. It is not called while a Target is
// in use. What leads outside is left out: it is refused when it is opened.
func (f *Folder) Claim(list []Claim) {
	f.claims = claims{at: map[spot][]Claim{}, above: map[id]Claim{}, made: map[string]bool{}}
	for _, c := range list {
		c.Path = f.Resolve(c.Path)
		p, way := f.start(c.Path)
		f.claim(c, p, way)
		p.close()
	}
}

func (f *Folder) claim(c Claim, p *place, way []string) {
	var err error
	if c.Output {
		for made := c.Path; !f.claims.made[made] && len(made) > 1; made = path.Dir(made) {
			f.claims.made[made] = true
		}
		for err == nil && len(way) > 0 {
			if err = p.enter(way[0]); err == nil {
				way = way[1:]
			}
		}
	} else {
		way, err = p.follow(way, true)
	}
	root := f.root(p)
	if root < 0 || err != nil && err != unix.ENOENT {
		return
	}
	s := spot{p.top().id, path.Join(way...)}
	f.claims.at[s] = append(f.claims.at[s], c)
	for i := root; i < len(p.steps); i++ {
		if i < len(p.steps)-1 || s.rest != "" {
			f.claims.above[p.steps[i].id] = c
		}
	}
}

// unclaimed refuses the target at rest, which is missing, in p, or at p itself, when it is another's.
func (f *Folder) unclaimed(name string, p *place, rest []string) error {
	abs := f.Resolve(name)
	conflict := func(how string, c Claim) error {
		return refuse(name, &ConflictError{Path: name, How: how, What: c.What}, elsewhere)
	}
	var below []string // the names from the spot that is looked at to the target, nearest first
	for i := len(rest); i > 0; i-- {
		s := spot{p.top().id, path.Join(rest[:i]...)}
		for _, c := range f.claims.at[s] {
			if how, hit := c.hit(abs, below); hit {
				return conflict(how, c)
			}
		}
		below = append(below, rest[i-1])
	}
	for i := len(p.steps) - 1; i >= 0; i-- {
		for _, c := range f.claims.at[spot{id: p.steps[i].id}] {
			if how, hit := c.hit(abs, below); hit {
				return conflict(how, c)
			}
		}
		below = append(below, p.steps[i].name)
	}
	if c, ok := f.claims.above[p.top().id]; ok && len(rest) == 0 {
		return conflict("would replace", c)
	}
	return nil
}

// Unclaimed refuses a name for an output that would replace what is claimed. Links on its way are followed, and it may
// lie inside something that is claimed: for what the user typed on the command line.
func (f *Folder) Unclaimed(name string) error {
	p, way := f.start(f.Resolve(name))
	defer p.close()
	rest, err := p.follow(way, false)
	if err != nil && err != unix.ENOENT {
		return nil // whoever writes there meets it too, and says what it is
	}
	err = f.unclaimed(name, p, rest)
	if conflict, ok := errors.AsType[*ConflictError](err); ok && conflict.How == inside {
		return nil
	}
	return err
}

// hit says how the claim is met by a target that has the names below between it and the claim.
func (c Claim) hit(abs string, below []string) (how string, hit bool) {
	if c.Output && c.Path == abs {
		return "", false
	}
	for _, name := range below {
		for _, pattern := range append([]string{".git"}, c.Exclude...) {
			if ok, err := path.Match(pattern, name); ok && err == nil {
				return "", false
			}
		}
	}
	if len(below) == 0 {
		return "is", true
	}
	return inside, true
}

// in gives a path as it is shown: relative to the manifest's folder when it lies there.
func (f *Folder) in(abs string) string {
	if rel, ok := strings.CutPrefix(abs, f.Dir()+"/"); ok {
		return rel
	}
	return abs
}
