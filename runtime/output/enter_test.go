package output

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

// swapping is a stream that does something when it is first read.
type swapping struct {
	io.Reader
	do func()
}

func (s *swapping) Read(p []byte) (int, error) {
	if s.do != nil {
		s.do()
		s.do = nil
	}
	return s.Reader.Read(p)
}

// What takes the target's place while a tree is written is not written to: the folder was opened before.
func TestPublishStaysInTheFolderThatWasEntered(t *testing.T) {
	dir, root := folder(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.MkdirAll(at(".git/hooks"), 0o755), os.Mkdir(at("out"), 0o755)); err != nil {
		t.Fatal(err)
	}
	target := driver.Target{Path: "out/post-commit", Enter: func(bool) (*os.Root, error) { return root.OpenRoot("out") }}
	stream := bytes.NewReader(drivertest.Tar(t, item{Name: ".", Data: "x", Mode: 0o755}))
	_, err := New().Publish(t.Context(), &swapping{stream, func() {
		if err := errors.Join(os.Rename(at("out"), at("old")), os.Symlink(".git/hooks", at("out"))); err != nil {
			t.Error(err)
		}
	}}, target, driver.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := os.ReadDir(at(".git/hooks")); len(list) != 0 {
		t.Errorf("in the git folder: %v", list)
	}
	if list, _ := os.ReadDir(at("old")); len(list) != 1 || list[0].Name() != "post-commit" {
		t.Errorf("in the folder that was entered: %v", list)
	}
}

// Who gives a target decides at each call, and its reason reaches the user.
func TestATargetThatMayNotBeEntered(t *testing.T) {
	var asked []bool
	refusal := &driver.Error{Class: driver.ErrRefused, Op: "write to", Object: "out", Err: errors.New("a link is there"), Next: "remove it"}
	target := driver.Target{Path: "out/x", Enter: func(create bool) (*os.Root, error) {
		asked = append(asked, create)
		return nil, refusal
	}}
	_, digested := New().Digest(t.Context(), target)
	packed := New().Tar(t.Context(), target, io.Discard)
	_, published := New().Publish(t.Context(), bytes.NewReader(drivertest.Tar(t, item{Name: ".", Data: "x"})), target, driver.Publishing{})
	for _, err := range []error{digested, packed, published} {
		if !errors.Is(err, driver.ErrRefused) || driver.Next(err) != "remove it" {
			t.Errorf("%v; next: %s", err, driver.Next(err))
		}
	}
	if len(asked) != 3 || asked[0] || asked[1] || !asked[2] {
		t.Errorf("folders were to be made: %v", asked)
	}
	target.Enter = func(bool) (*os.Root, error) { return nil, &os.PathError{Op: "open", Path: "out", Err: os.ErrNotExist} }
	if _, err := New().Digest(t.Context(), target); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("%v", err)
	}
	target.Enter = func(bool) (*os.Root, error) { return nil, os.ErrPermission }
	if _, err := New().Digest(t.Context(), target); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}
