package processor

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDigest(t *testing.T) {
	const text = "processor\t: 0\nmodel name\t: one\ncpu MHz\t\t: 2400.1\nflags\t\t: fpu svm\n\nprocessor\t: 1\nflags\t\t: fpu\n"
	// Of the processors behind the first nothing is read.
	want, err := digest(io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("read on"))))
	if err != nil {
		t.Error(err)
	}
	for name, other := range map[string]struct {
		text string
		same bool
	}{
		"another moment":       {"processor\t: 0\nmodel name\t: one\ncpu MHz\t\t: 800.0\nflags\t\t: fpu svm\n", true},
		"another first":        {"processor\t: 7\nmodel name\t: one\nflags\t\t: fpu svm\n", true},
		"another model":        {"processor\t: 0\nmodel name\t: two\nflags\t\t: fpu svm\n", false},
		"one flag less":        {"processor\t: 0\nmodel name\t: one\nflags\t\t: fpu\n", false},
		"nothing that is said": {"", false},
	} {
		if got, err := digest(strings.NewReader(other.text)); (got == want) != other.same || err != nil {
			t.Errorf("%s: %s and %s, %v", name, got, want, err)
		}
	}
	if _, err := digest(iotest.ErrReader(errors.New("unread"))); err == nil {
		t.Error("what can't be read has a digest")
	}
	if got, err := Digest(); err != nil || len(got) != 64 {
		t.Errorf("this host's: %q, %v", got, err)
	}
}
