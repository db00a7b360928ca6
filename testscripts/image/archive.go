// Package image makes small OCI images for examples and tests: a layer of files, a config, and the archive around
// them. The same input gives the same bytes. It fetches nothing. testscripts and its mkimage import it; no part of
// the program does.
package image

import (
	"archive/tar"
	"bytes"
	_ "crypto/sha256" // for go-digest
	"encoding/json"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// File is one entry of a layer. Path has no slash in front.
type File struct {
	Path string
	Type byte // of archive/tar; 0 is a regular file
	Mode int64
	Data []byte
	Link string
	UID  int
	GID  int
	Time time.Time // of its last change
}

// Layer is an uncompressed tar of files, sorted by path, with the folders that they need. Of several files with one
// path the last counts.
func Layer(files []File) ([]byte, error) {
	known := map[string]bool{}
	var all []File
	for _, f := range slices.Backward(files) {
		if !known[f.Path] {
			known[f.Path] = true
			all = append(all, f)
		}
	}
	for _, f := range files {
		for dir := path.Dir(f.Path); dir != "." && !known[dir]; dir = path.Dir(dir) {
			known[dir] = true
			all = append(all, File{Path: dir, Type: tar.TypeDir, Mode: 0o755})
		}
	}
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range all {
		h := &tar.Header{Name: f.Path, Typeflag: f.Type, Mode: f.Mode, Size: int64(len(f.Data)), Linkname: f.Link,
			Uid: f.UID, Gid: f.GID, ModTime: f.Time, Format: tar.FormatPAX}
		switch f.Type {
		case 0:
			h.Typeflag = tar.TypeReg
		case tar.TypeDir:
			h.Name += "/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

// Archive writes an OCI archive of one image with one layer.
func Archive(w io.Writer, layer []byte, config v1.ImageConfig, arch string) error {
	store := map[string][]byte{}
	put := func(mediaType string, data []byte) v1.Descriptor {
		d := digest.FromBytes(data)
		store["blobs/sha256/"+d.Encoded()] = data
		return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	layerDesc := put(v1.MediaTypeImageLayer, layer)
	configData, err := json.Marshal(v1.Image{
		Platform: v1.Platform{Architecture: arch, OS: "linux"},
		Config:   config,
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{layerDesc.Digest}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    put(v1.MediaTypeImageConfig, configData),
		Layers:    []v1.Descriptor{layerDesc},
	})
	if err != nil {
		return err
	}
	desc := put(v1.MediaTypeImageManifest, manifest)
	desc.Platform = &v1.Platform{Architecture: arch, OS: "linux"}
	desc.Annotations = map[string]string{v1.AnnotationRefName: "latest"}
	index, err := json.Marshal(v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{desc},
	})
	if err != nil {
		return err
	}
	store["index.json"] = index
	store[v1.ImageLayoutFile] = []byte(`{"imageLayoutVersion":"` + v1.ImageLayoutVersion + `"}`)
	files := []File{}
	for name, data := range store {
		files = append(files, File{Path: name, Mode: 0o644, Data: data})
	}
	archive, err := Layer(files)
	if err != nil {
		return err
	}
	_, err = w.Write(archive)
	return err
}
