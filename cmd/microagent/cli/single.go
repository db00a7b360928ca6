package cli

import (
	"io"

	"microagent/runtime/tartree"
)

// singleFile writes the one regular file that an output's tree is made of.
func singleFile(tree io.Reader, name string, w io.Writer) error {
	r := tartree.NewReader(tree, tartree.Options{EndMark: tartree.NoMark})
	h, err := r.Next()
	if err != nil {
		return outputError(name, err)
	}
	if !tartree.IsFile(h) {
		return outputError(name, errNotSingle)
	}
	_, err = io.Copy(w, r)
	return err
}
