package schema

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// claim is a host path that the manifest reads, or writes as an output.
type claim struct {
	path     string // clean
	what     string
	at       place
	output   bool
	bundle   bool     // it is a bundle's source
	exclude  []string // of a bundle's source: names that are not part of it
	reported bool
}

// checkOutputs checks each output by itself and gives the host paths that they write.
func (c *checker) checkOutputs() []claim {
	claims := []claim{{path: path.Clean(c.own), what: "the manifest"}}
	for name, e := range c.section("outputs") {
		at := address{"outputs", name}
		if e.value.bad {
			continue
		}
		if from := e.value.entry("from"); from != nil {
			c.checkReference(from, "workspaces", at.with("from"))
			c.requireTask(from, at)
		}
		if p := e.value.entry("path"); p != nil {
			if root := kernelOwned(path.Clean(p.value.text)); root != "" {
				c.error(p.value.at, "bad_value", at.with("path").String()+" is "+quote(p.value.text)+", which is "+root,
					"name the file or directory that the task leaves")
			}
		}
		to := e.value.entry("to")
		if to == nil {
			continue
		}
		clean, ok := c.checkHostPath(to.value.at, to.value.text, at.with("to"))
		switch {
		case !ok:
		case clean == "." || clean == "/":
			c.error(to.value.at, "output_conflict", at.with("to").String()+" is a folder that holds other files",
				"write a path of its own, such as ./out/"+cut(name))
		case insideGit(clean):
			c.error(to.value.at, "output_conflict", at.with("to").String()+" is "+quote(to.value.text)+
				", inside a .git directory", "write it to another place, such as ./out/"+cut(name))
		default:
			claims = append(claims, claim{path: clean, what: at.String(), at: to.value.at, output: true})
		}
	}
	return claims
}

func insideGit(clean string) bool {
	for element := range strings.SplitSeq(clean, "/") {
		if strings.EqualFold(element, ".git") {
			return true
		}
	}
	return false
}

func (c *checker) requireTask(from *entry, at address) {
	if !c.there["workspaces"][from.value.text] || c.tasks()[from.value.text] {
		return
	}
	c.error(from.value.at, "output_without_task", at.String()+" comes from workspace "+quote(from.value.text)+
		", which has no task", "give the workspace a task, or copy from it with cp")
}

// tasks gives the workspaces that have a task, be it a bad one.
func (c *checker) tasks() map[string]bool {
	if c.tasked == nil {
		c.tasked = map[string]bool{}
		for name, e := range c.section("workspaces") {
			c.tasked[name] = e.value.bad || e.value.get("task") != nil
		}
	}
	return c.tasked
}

// excuses is how many bundles around an output are looked at for one that does not exclude it.
const excuses = 64

// checkOverlaps refuses outputs that lie inside, around or at something else that the manifest names. Sorted by element,
// what is inside a path follows it, so one walk with a stack sees every pair that matters.
func (c *checker) checkOverlaps(claims []claim) {
	slices.SortStableFunc(claims, func(a, b claim) int {
		if n := strings.Compare(sortable(a.path), sortable(b.path)); n != 0 {
			return n
		}
		switch {
		case a.output == b.output:
			return 0
		case b.output:
			return -1
		}
		return 1
	})
	var around []int // indices of claims that hold the one at hand, and of these the outputs
	var outputs []int
	for i := range claims {
		x := &claims[i]
		for len(around) > 0 && !holds(claims[around[len(around)-1]].path, x.path) {
			last := around[len(around)-1]
			around = around[:len(around)-1]
			if claims[last].output {
				outputs = outputs[:len(outputs)-1]
			}
		}
		if x.output {
			c.checkInside(x, claims, around)
		} else if len(outputs) > 0 {
			if o := &claims[outputs[len(outputs)-1]]; !o.reported {
				o.reported = true
				c.reportOverlap(o, "would replace", x)
			}
		}
		around = append(around, i)
		if x.output {
			outputs = append(outputs, i)
		}
	}
}

// checkInside reports an output for the nearest thing around it that does not exclude it.
func (c *checker) checkInside(x *claim, claims []claim, around []int) {
	for n := 0; n < excuses && n < len(around); n++ {
		y := &claims[around[len(around)-1-n]]
		if y.excludes(x.path) || y.bundle && y.path == x.path { // a bundle that is made of the output
			continue
		}
		if !x.reported {
			x.reported = true
			how := "lies inside"
			if x.path == y.path {
				how = "is the same path as"
			}
			c.reportOverlap(x, how, y)
		}
		return
	}
}

func (c *checker) reportOverlap(x *claim, how string, y *claim) {
	line := ""
	if y.at.line > 0 {
		line = " (line " + strconv.Itoa(y.at.line) + ")"
	}
	next := "write the output to a path of its own, such as ./out/" + cut(strings.TrimPrefix(x.what, "outputs."))
	if y.exclude != nil || strings.HasPrefix(y.what, "the source of ") && how == "lies inside" {
		next += ", or leave its folder out of the bundle with exclude"
		if y.bundle {
			next += "; to hand a folder to another workspace, make it an output and a bundle of the same path"
		}
	}
	c.error(x.at, "output_conflict", x.what+".to "+how+" "+y.what+line, next)
}

// excludes says that the bundle leaves out what lies at p inside it.
func (y *claim) excludes(p string) bool {
	rest := strings.TrimPrefix(strings.TrimPrefix(p, y.path), "/")
	if y.path == "." {
		rest = p
	}
	for element := range strings.SplitSeq(rest, "/") {
		for _, pattern := range y.exclude {
			if ok, err := path.Match(pattern, element); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// holds says that q is p or lies below it.
func holds(p, q string) bool {
	switch p {
	case ".":
		return !path.IsAbs(q) && q != ".." && !strings.HasPrefix(q, "../")
	case "/":
		return path.IsAbs(q)
	}
	return q == p || strings.HasPrefix(q, p) && q[len(p)] == '/'
}

// sortable makes a path sort right before what lies below it.
func sortable(p string) string {
	if p == "." {
		return ""
	}
	return strings.ReplaceAll(p, "/", "\x00")
}
