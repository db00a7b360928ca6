package main

import (
	"archive/tar"
	"fmt"
	"strings"
	"time"

	"microagent/runtime/guest/proto"
)

// tree writes what a fetch is answered by. Not each comes to an end.
type tree struct {
	st *proto.Stream
	w  *tar.Writer
}

// sendTree answers a fetch with the tree of that name, as far as the host takes it.
func sendTree(st *proto.Stream, name string) {
	if st.Ok() != nil {
		return
	}
	t := &tree{st, tar.NewWriter(st)}
	t.dir(".")
	if write := trees[name]; write != nil {
		write(t)
	}
	if t.w.Close() == nil && st.CloseWrite() == nil {
		st.DrainInput()
	}
}

func (t *tree) add(h tar.Header, content string) bool {
	h.ModTime, h.Size = time.Unix(1, 0), int64(len(content))
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	if t.w.WriteHeader(&h) != nil {
		return false
	}
	_, err := t.w.Write([]byte(content))
	return err == nil
}

func (t *tree) file(name string) bool {
	return t.add(tar.Header{Name: name, Typeflag: tar.TypeReg}, "forged\n")
}

func (t *tree) dir(name string) bool {
	return t.add(tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o755}, "")
}

func (t *tree) link(name, target string) bool {
	return t.add(tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}, "")
}

var trees = map[string]func(t *tree){
	// Chains in which each link doubles what is walked, 38 long: a kernel follows 40.
	"links": func(t *tree) {
		t.dir("d")
		for i := range 38 {
			t.link(fmt.Sprintf("l%d", i+1), fmt.Sprintf("l%d/../l%d", i, i))
		}
		t.link("l0", "d")
		for i := range 500 {
			t.link(fmt.Sprintf("many%d", i), "l38/../l38")
			t.file(fmt.Sprintf("l38/x%d", i))
		}
	},
	"up":       func(t *tree) { t.file("a/../../escaped"); t.file("../escaped") },
	"absolute": func(t *tree) { t.file("/tmp/escaped") },
	"through":  func(t *tree) { t.link("l", "../.."); t.file("l/escaped") },
	"twice":    func(t *tree) { t.file("a"); t.dir("a"); t.file("a/b"); t.link("a", "..") },
	"device":   func(t *tree) { t.add(tar.Header{Name: "mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1}, "") },
	"git": func(t *tree) {
		t.dir(".git")
		t.file(".git/config")
		t.dir("sub/.GIT/hooks")
		t.file("sub/.GIT/hooks/post-checkout")
	},
	"hard":   func(t *tree) { t.add(tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../../escaped"}, "") },
	"setuid": func(t *tree) { t.add(tar.Header{Name: "s", Typeflag: tar.TypeReg, Mode: 0o6777}, "#!/bin/sh\n") },
	"names":  func(t *tree) { t.dir(forged(200)); t.file(forged(100) + "/" + forged(100)); t.link("t", forged(300)) },
	"deep": func(t *tree) {
		for i := 1; t.dir(strings.Repeat("d/", i)[:2*i-1]); i++ {
		}
	},
	"entries": func(t *tree) {
		for i := 0; t.add(tar.Header{Name: fmt.Sprint("e", i), Typeflag: tar.TypeReg}, ""); i++ {
		}
	},
	"bytes": func(t *tree) {
		_ = t.w.WriteHeader(&tar.Header{Name: "b", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 50, Format: tar.FormatGNU})
		data := make([]byte, 256<<10)
		for {
			if _, err := t.w.Write(data); err != nil {
				return
			}
		}
	},
	// Headers that no entry follows.
	"pax": func(t *tree) {
		var b strings.Builder
		_ = tar.NewWriter(&b).WriteHeader(&tar.Header{
			Name: "p", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"X.y": strings.Repeat("x", 500<<10)},
		})
		for {
			if _, err := t.st.Write([]byte(b.String()[:b.Len()-512])); err != nil {
				return
			}
		}
	},
	// A header that comes a byte a second.
	"dribble": func(t *tree) {
		for {
			if _, err := t.st.Write([]byte{'x'}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	},
	"endless": func(t *tree) {
		for i := 0; ; i++ {
			if !t.add(tar.Header{Name: fmt.Sprint("e", i), Typeflag: tar.TypeReg}, strings.Repeat("forged\n", 1000)) {
				return
			}
		}
	},
	// What follows the end of a tree has none.
	"tail": func(t *tree) {
		_ = t.w.Flush()
		for {
			if _, err := t.st.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	},
	// A stream that goes away in the middle of a file.
	"cut": func(t *tree) {
		_ = t.w.WriteHeader(&tar.Header{Name: "c", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 20})
		_ = t.st.Close()
	},
}
