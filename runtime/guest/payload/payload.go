// Package payload holds the guest binary (cmd/microagent-guest) for each architecture, embedded. A clean clone
// holds none: it compiles and tests, and Guest says what to do. `go generate ./runtime/guest/payload` builds it,
// static, trimmed and packed with zstd, the same bytes from the same sources.
package payload

import (
	"embed"
	"errors"
	"io/fs"

	"microagent/runtime/driver"
)

//go:generate go run ./build -o bin

//go:embed all:bin
var files embed.FS

// Guest gives the binary for an architecture in Go's words ("amd64", "arm64"), packed with zstd. The bytes are the
// caller's.
func Guest(arch string) ([]byte, error) {
	data, err := files.ReadFile("bin/microagent-guest-" + arch + ".zst")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &driver.Error{
			Class: driver.ErrUnavailable, Op: "find guest binary for", Object: arch,
			Err:  errors.New("this microagent was built without it"),
			Next: "run `go generate ./runtime/guest/payload` and build microagent again",
		}
	}
	return data, err
}
