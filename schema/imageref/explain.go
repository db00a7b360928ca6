package imageref

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"microagent/schema/pattern"
)

var (
	wholeTag  = pattern.Of("^" + reference.TagRegexp.String() + "$")
	component = pattern.Of(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	hostName  = pattern.Of("^" + reference.DomainRegexp.String() + "$")
	bareHex   = pattern.Of(`^[0-9a-f]{64}$`)
)

const maxName = 255 // reference.NameTotalLengthMax

// explain says what is wrong with a name of a registry that reference refuses.
func explain(text string) *Error {
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../") {
		at := text
		if len(at) > maxName {
			at = "PATH"
		}
		return &Error{"is a path", fmt.Sprintf("say what is there: oci:%[1]s, oci-archive:%[1]s, docker-archive:%[1]s or rootfs:%[1]s", at)}
	}
	rest, digest, digested := strings.Cut(text, "@")
	name, tag, tagged := cutTag(rest)
	switch lower := strings.ToLower(name) + text[len(name):]; {
	case digested && !IsDigest(digest):
		return errDigest
	case bareHex().MatchString(text):
		return &Error{"is a digest without a name", "write NAME@sha256:" + text}
	case len(name) > maxName:
		return &Error{"has a name that is too long", fmt.Sprintf("write a name of at most %d bytes", maxName)}
	case name == "":
		return &Error{"has no name", "write NAME[:TAG][@DIGEST], such as alpine:3.20"}
	case lower != text && reads(lower):
		return &Error{"has capital letters in its name", "write " + lower}
	case tagged && tag == "":
		return &Error{"has nothing after its colon", "write a tag after the colon, or leave it out: " + name}
	case strings.Contains(tag, ":"):
		one := name + ":TAG"
		if first, _, _ := strings.Cut(tag, ":"); reads(name + ":" + first) {
			one = name + ":" + first
		}
		return &Error{"has more than one tag", "write one: " + one}
	case tagged && !wholeTag().MatchString(tag):
		return &Error{"has a tag that is none", "write a tag of letters, digits, _ . and -, at most 128 of them, the first no . or -"}
	}
	for i, part := range strings.Split(name, "/") {
		switch {
		case part == "":
			return &Error{"has an empty part", "leave out the slash that is too many"}
		case part == "." || part == "..":
			return &Error{"has a part " + part + " as a path has", "write the name that the image has in its registry, or say what a path is: oci:DIR"}
		case !component().MatchString(part) && (i > 0 || !hostName().MatchString(part)):
			return &Error{fmt.Sprintf("has a part %.40q that no name can have", part),
				"write parts of small letters and digits, with . _ or - only between them"}
		}
	}
	return &Error{"is no name of an image", "write NAME[:TAG][@DIGEST], such as alpine:3.20"}
}

// capitalHost refuses a host that is one by its capital letters alone: MyOrg/app is docker.io's myorg/app to who writes it,
// and reference v0.6.0 reads it as what a registry MyOrg has.
func capitalHost(text, host string) error {
	if strings.ContainsAny(host, ".:") || host == strings.ToLower(host) {
		return nil
	}
	rest := text[len(host):]
	return &Error{"names a registry's host, by the capital letters of its first part alone",
		fmt.Sprintf("write %s, or %s:443%s when %s is the host of a registry", strings.ToLower(host)+rest, host, rest, host)}
}

// cutTag cuts at the first colon behind the last slash.
func cutTag(text string) (name, tag string, ok bool) {
	last := strings.LastIndexByte(text, '/') + 1
	part, tag, ok := strings.Cut(text[last:], ":")
	return text[:last] + part, tag, ok
}

func reads(text string) bool {
	_, err := reference.ParseNormalizedNamed(text)
	return err == nil
}
