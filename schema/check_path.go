package schema

import (
	"errors"
	"path"
	"strings"

	"microagent/schema/imageref"
)

// maxPath is Linux' limit of a path, PATH_MAX in limits.h, without its final zero byte.
const maxPath = 4095

// checkHostPath checks a path on the host and gives it cleaned. It has ok false when the path was reported.
func (c *checker) checkHostPath(at place, text string, where address) (clean string, ok bool) {
	clean = path.Clean(text)
	refuse := func(what, next string) (string, bool) {
		c.error(at, "path_outside", where.String()+" is "+quote(text)+", which "+what, next)
		return "", false
	}
	switch {
	case len(text) > maxPath:
		return refuse("is too long for a path", "use a shorter path")
	case strings.Contains(text, "://"):
		return refuse("is a URL", "download it next to the manifest and name the file")
	case text == "~" || strings.HasPrefix(text, "~/"):
		return refuse("begins with ~, which is not expanded", "write a path relative to the manifest")
	case path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../"):
		if c.outside != nil && c.outside(clean) {
			return clean, true
		}
		return refuse("is outside the manifest's folder",
			"move it into the folder, or allow its folder on the command line with --allow-path=DIR")
	}
	return clean, true
}

// checkSources checks what bundles, disks and new volumes read and gives their host paths.
func (c *checker) checkSources() []claim {
	var claims []claim
	for name, e := range c.section("bundles") {
		at := address{"bundles", name}
		if x := e.value.entry("exclude"); x != nil {
			for _, item := range x.value.items {
				if _, err := path.Match(item.text, ""); err != nil && !item.bad {
					item.bad = true
					c.error(item.at, "bad_value", at.with("exclude").String()+" has "+quote(item.text)+
						", which is no pattern", "close the bracket, or write \\[ for one that is meant as it is")
				}
			}
		}
		src := e.value.entry("source")
		if src == nil {
			continue
		}
		if p, ok := c.checkHostPath(src.value.at, src.value.text, at.with("source")); ok {
			claims = append(claims, claim{
				path: p, what: "the source of " + at.String(), at: src.value.at, bundle: true, exclude: c.m.Bundles[name].Exclude,
			})
		}
	}
	for name, e := range c.section("disks") {
		at := address{"disks", name}
		if src := e.value.entry("path"); src != nil {
			if p, ok := c.checkHostPath(src.value.at, src.value.text, at.with("path")); ok {
				claims = append(claims, claim{path: p, what: at.String(), at: src.value.at})
			}
		}
	}
	for name, e := range c.section("volumes") {
		at := address{"volumes", name, "from", "image"}
		if src := e.value.get("from").entry("image"); src != nil {
			if p, ok := c.checkHostPath(src.value.at, src.value.text, at); ok {
				claims = append(claims, claim{path: p, what: at.String(), at: src.value.at})
			}
		}
	}
	return claims
}

// checkImage checks an image and gives the path of one that is a file or folder.
func (c *checker) checkImage(e *entry, at address) []claim {
	text := e.value.text
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		c.error(e.value.at, "bad_value", at.String()+" is "+quote(text)+", which is a URL", "leave "+cut(scheme)+
			":// out: "+cut(rest))
		return nil
	}
	r, err := imageref.Parse(text)
	if wrong, ok := errors.AsType[*imageref.Error](err); ok {
		c.error(e.value.at, "bad_value", at.String()+" is "+quote(text)+", which "+wrong.Why, wrong.Write)
	}
	if err != nil || r.Kind == imageref.Registry {
		return nil
	}
	if p, ok := c.checkHostPath(e.value.at, r.Path, at); ok {
		return []claim{{path: p, what: at.String(), at: e.value.at}}
	}
	return nil
}
