package rotate

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func written(t *testing.T, path, what string, n int, limit int64) {
	t.Helper()
	for i := range n {
		if err := Append(path, limit, fmt.Appendf(nil, "%s %03d\n", what, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// TestPrepend puts logs of all lengths before others: whole lines, the newest of them, once, and none of the other's is lost.
func TestPrepend(t *testing.T) {
	const limit = 100
	for _, before := range []int{0, 1, 5, 12, 30} {
		for _, there := range []int{0, 1, 5, 12, 30} {
			dir := t.TempDir()
			from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
			written(t, from, "old", before, limit)
			written(t, to, "new", there, limit)
			had, kept := text(t, from), text(t, to)
			for range 2 {
				if err := Prepend(to, from, limit); err != nil {
					t.Fatal(err)
				}
				got, whole := strings.CutSuffix(text(t, to), kept)
				if !whole || !strings.HasSuffix(had, got) || len(got)%8 != 0 {
					t.Errorf("%d before %d: %q", before, there, got+kept)
				}
				if there == 0 && before <= 5 && got != had {
					t.Errorf("%d before none: %q of %q", before, got, had)
				}
			}
			if err := Remove(from); err != nil {
				t.Fatal(err)
			}
			if left := text(t, from); left != "" {
				t.Errorf("left: %q", left)
			}
		}
	}
}
