package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"microagent/runtime/layout"
)

// outputFlag is one value of --output: name=/guest/path[:host/path][:unchanged=allow].
type outputFlag struct {
	name, guest, host string
	unchanged         bool // also what the command did not change
}

func parseOutput(text string) (outputFlag, error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || !layout.ValidName(name) || !strings.HasPrefix(rest, "/") {
		return outputFlag{}, fmt.Errorf("--output is %q; write name=/guest/path[:host/path][:unchanged=allow]", text)
	}
	rest, allowed := strings.CutSuffix(rest, ":unchanged=allow")
	guest, host, _ := strings.Cut(rest, ":")
	switch {
	case host == "":
		host = name
	case host == "." || host == ".." || strings.HasSuffix(host, "/"):
		host = filepath.Join(host, name)
	}
	return outputFlag{name, filepath.Clean(guest), host, allowed}, nil
}
