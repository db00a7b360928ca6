package imageref

import (
	"errors"
	"strings"
	"testing"
)

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func TestParse(t *testing.T) {
	for text, want := range map[string]Reference{
		"alpine":                   {Name: "docker.io/library/alpine:latest", Host: "docker.io"},
		"me/app:1":                 {Name: "docker.io/me/app:1", Host: "docker.io"},
		"localhost:5000/app":       {Name: "localhost:5000/app:latest", Host: "localhost:5000"},
		"a.io/b@sha256:" + zeros:   {Name: "a.io/b@sha256:" + zeros, Host: "a.io", Digest: "sha256:" + zeros},
		"oci:./dir":                {Kind: OCI, Name: "oci:dir", Path: "dir"},
		"oci:dir/x:v1":             {Kind: OCI, Name: "oci:dir/x:v1", Path: "dir/x", Tag: "v1"},
		"oci:sk:localhost/x:v1":    {Kind: OCI, Name: "oci:sk:localhost/x:v1", Path: "sk", Tag: "localhost/x:v1"},
		"oci:sk@sha256:" + zeros:   {Kind: OCI, Name: "oci:sk@sha256:" + zeros, Path: "sk", Digest: "sha256:" + zeros},
		"oci:sk:a@sha256:" + zeros: {Kind: OCI, Name: "oci:sk:a@sha256:" + zeros, Path: "sk", Tag: "a", Digest: "sha256:" + zeros},
		"oci:who@home":             {Kind: OCI, Name: "oci:who@home", Path: "who@home"},
		"oci-archive:x.tar:j/t:1":  {Kind: OCIArchive, Name: "oci-archive:x.tar:j/t:1", Path: "x.tar", Tag: "j/t:1"},
		"docker-archive:x.tar:a:1": {Kind: DockerArchive, Name: "docker-archive:x.tar:docker.io/library/a:1", Path: "x.tar", Tag: "docker.io/library/a:1"},
		"MyOrg:443/app":            {Name: "MyOrg:443/app:latest", Host: "MyOrg:443"},
		"Reg.example/app":          {Name: "Reg.example/app:latest", Host: "Reg.example"},
		"rootfs:a//b:c.tar":        {Kind: RootFS, Name: "rootfs:a/b:c.tar", Path: "a/b:c.tar"},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

// What is refused says what to write, and where it names a reference, that one reads.
func TestRefused(t *testing.T) {
	for text, want := range map[string][2]string{
		"Docker.io/Library/Alpine:3.20":        {"capital letters", "write docker.io/library/alpine:3.20"},
		"MyOrg/app:V1":                         {"a registry's host", "write myorg/app:V1, or MyOrg:443/app:V1 when MyOrg"},
		"docker.io/library/alpine:":            {"nothing after its colon", "leave it out: docker.io/library/alpine"},
		"alpine@sha256:abc":                    {"digest", "whole digest"},
		"alpine@sha512:" + zeros + zeros:       {"digest", "whole digest"},
		"alpine:3.20:4":                        {"more than one tag", "write one: alpine:3.20"},
		":3.20":                                {"no name", "such as alpine:3.20"},
		"library/../../alpine:3.20":            {"a part ..", "oci:DIR"},
		"-alpine":                              {`a part "-alpine"`, "small letters"},
		"a//b":                                 {"empty part", "slash"},
		"alpine:-1":                            {"a tag that is none", "letters"},
		zeros:                                  {"without a name", "NAME@sha256:"},
		"./image":                              {"is a path", "oci:./image"},
		"/x.tar":                               {"is a path", "oci-archive:/x.tar"},
		strings.Repeat("a", 300):               {"too long", "255"},
		"oci:":                                 {"names no file", "after oci:"},
		"oci:x:":                               {"nothing after its colon", "oci:x"},
		"oci:x@sha256:12":                      {"digest", "whole digest"},
		"docker-archive:x.tar:A:1":             {"capital letters", "write a:1"},
		"rootfs:":                              {"names no file", "after rootfs:"},
		"":                                     {"no name", "alpine"},
		"a b":                                  {`a part "a b"`, "small letters"},
		"reg.example:5000/App@sha256:" + zeros: {"capital letters", "reg.example:5000/app@sha256:"},
	} {
		_, err := Parse(text)
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(e.Why, want[0]) || !strings.Contains(e.Write, want[1]) {
			t.Errorf("%q: %+v; want %q", text, err, want)
		}
	}
}

// FuzzParse checks that a full form reads as itself, and that what is refused says what to do.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"alpine", "docker.io/library/alpine:3.20", "localhost:5000/a/b@sha256:" + zeros, "oci:./a/../b:tag", "oci:a:b/c:d",
		"docker-archive:x.tar:app:1", "rootfs:a:b", "oci-archive:/abs/x.tar@sha256:" + zeros, "A:b:c@d", ":", "a/../b",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Why == "" || e.Write == "" {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		if again, err := Parse(r.Name); err != nil || again != r {
			t.Fatalf("%q reads as %+v, and its name as %+v, %v", text, r, again, err)
		}
	})
}
