package chardev

import (
	"testing"

	"golang.org/x/sys/unix"
)

// records are the ends of a device that keeps apart what is written.
func records(t *testing.T) (a, b *File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return devices(t, fds)
}

func TestRecordsHaveAHeader(t *testing.T) {
	a, b := records(t)
	if err := NewHeaded(a, 2).WriteRecord([]byte("ab"), []byte("content")); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	if n, err := b.Read(p); string(p[:n]) != "abcontent" || err != nil {
		t.Errorf("written %q, %v", p[:n], err)
	}
	for _, text := range []string{"cdfirst", "ef", "ghlast"} {
		if _, err := b.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	h := NewHeaded(a, 2)
	if _, err := h.ReadBy(func(read func([]byte) (int, error)) (int, error) {
		all := 0
		for {
			n, err := read(p)
			if err != nil {
				return all, err
			}
			got = append(got, string(h.in)+":"+string(p[:n]))
			all += n
		}
	}); err != nil || len(got) != 3 || got[0] != "cd:first" || got[1] != "ef:" || got[2] != "gh:last" {
		t.Errorf("read %q, %v", got, err)
	}
}
