package cli

import (
	"archive/tar"
	"io"
)

// singleFile writes the one regular file that an output's tree is made of.
func singleFile(tree io.Reader, name string, w io.Writer) error {
	r := tar.NewReader(tree)
	h, err := r.Next()
	if err != nil {
		return outputError(name, err)
	}
	if h.Typeflag != tar.TypeReg {
		return outputError(name, errNotSingle)
	}
	_, err = io.Copy(w, r)
	return err
}
