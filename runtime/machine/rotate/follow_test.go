package rotate

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// lines are the whole lines that f has now.
func lines(t *testing.T, f *Follower) string {
	t.Helper()
	var got []string
	for {
		stretch, begins, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		if stretch == nil {
			return strings.Join(got, " ")
		}
		if begins {
			got = append(got, "|")
		}
		for r := bufio.NewReader(stretch); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				break
			}
			f.Used(int64(len(line)))
			got = append(got, strings.TrimSpace(line))
		}
	}
}

// TestFollowerThatLags by a whole part misses nothing of it, and looks at nothing twice.
func TestFollowerThatLags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	f, err := NewFollower(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := lines(t, f); got != "" {
		t.Fatalf("of no log %q", got)
	}
	w, err := Create(path, 8) // two lines a part
	if err != nil {
		t.Fatal(err)
	}
	defer func() { w.Close() }()
	at := 0
	write := func(n int) (want string) {
		t.Helper()
		var all []string
		for range n {
			if at++; at%2 == 1 {
				all = append(all, "|")
			}
			all = append(all, fmt.Sprintf("%03d", at))
			if _, err := fmt.Fprintf(w, "%03d\n", at); err != nil {
				t.Fatal(err)
			}
		}
		return strings.Join(all, " ")
	}
	for _, n := range []int{1, 1, 2, 1, 4, 3, 4} { // up to the parts that are kept
		if want, got := write(n), lines(t, f); got != want {
			t.Errorf("%d more: %q, want %q", n, got, want)
		}
	}
	if got := lines(t, f); got != "" {
		t.Errorf("again %q", got)
	}

	// A look at what is held takes nothing away, and hears of nothing later.
	g, err := NewFollower(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	look := g.Look()
	held := lines(t, look)
	more := write(4)
	if again := lines(t, look); held != "| 013 014 | 015 016" || again != "" {
		t.Errorf("held %q, and then %q", held, again)
	}
	if got := lines(t, g); got != held+" "+more {
		t.Errorf("%q, want %q", got, held+" "+more)
	}

	// A log that is begun anew goes on behind.
	lines(t, f)
	w.Close()
	if w, err = Create(path, 8); err != nil {
		t.Fatal(err)
	}
	at = 100
	if want, got := write(3), lines(t, f); got != want {
		t.Errorf("of the next log %q, want %q", got, want)
	}
}

// TestFollowerLeavesHalfALine until it is whole, and for ever at the end of a part.
func TestFollowerLeavesHalfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w, err := Create(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f, err := NewFollower(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, step := range []struct{ write, want string }{{"a\nb", "| a"}, {"", ""}, {"c\n", "bc"}, {"half", ""}, {"next part\n", "| next part"}} {
		if _, err := io.WriteString(w, step.write); err != nil {
			t.Fatal(err)
		}
		if got := lines(t, f); got != step.want {
			t.Errorf("behind %q: %q, want %q", step.write, got, step.want)
		}
	}
}
