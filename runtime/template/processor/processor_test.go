package processor

import "testing"

func TestDigest(t *testing.T) {
	const text = "processor\t: 0\nmodel name\t: one\ncpu MHz\t\t: 2400.1\nflags\t\t: fpu svm\n\nprocessor\t: 1\nflags\t\t: fpu\n"
	want := digest(text)
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
		if got := digest(other.text); (got == want) != other.same {
			t.Errorf("%s: %s and %s", name, got, want)
		}
	}
	if got, err := Digest(); err != nil || len(got) != 64 {
		t.Errorf("this host's: %q, %v", got, err)
	}
}
