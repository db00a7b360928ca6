package image

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"microagent/runtime/driver"
)

// hostsDocument is what containerd's library reads of a hosts.toml. One that it can't take it logs, and goes on as if there
// were none, to another place than its user said; a key that it does not know counts for nothing, and without
// capabilities a host has all of them (parseHostsFile in core/remotes/docker/config/hosts.go, v2.4.2).
type hostsDocument struct {
	Server string `toml:"server"`
	hostEntry
	Hosts map[string]hostEntry `toml:"host"`
}

type hostEntry struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`
	Client       any            `toml:"client"`
	SkipVerify   *bool          `toml:"skip_verify"`
	Header       map[string]any `toml:"header"`
	OverridePath bool           `toml:"override_path"`
	DialTimeout  string         `toml:"dial_timeout"`
}

// checkHosts refuses a file that the library would not go by.
func checkHosts(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = readHosts(data)
	}
	if err != nil {
		return &driver.Error{Class: driver.ErrInvalid, Op: "read", Object: path, Err: err, Next: "correct the file"}
	}
	return nil
}

func readHosts(data []byte) error {
	var file hostsDocument
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&file)
	if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		first := unknown.Errors[0]
		row, _ := first.Position()
		return fmt.Errorf("line %d: hosts.toml has no key %q", row, strings.Join(first.Key(), "."))
	}
	if at, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, _ := at.Position()
		return fmt.Errorf("line %d: %w", row, err)
	}
	if err != nil {
		return err
	}
	if err := file.check(file.Server); err != nil {
		return err
	}
	for server, entry := range file.Hosts {
		if err := entry.check(server); err != nil {
			return fmt.Errorf("host %q: %w", server, err)
		}
	}
	return nil
}

func (e hostEntry) check(server string) error {
	if _, err := url.Parse(server); err != nil {
		return err
	}
	for _, c := range e.Capabilities {
		switch strings.ToLower(c) {
		case "pull", "resolve", "push", "referrers":
		default:
			return fmt.Errorf("capability %q is none of pull, resolve, push and referrers", c)
		}
	}
	if !isText(e.CA, 1) {
		return errors.New("ca is neither a path nor a list of them")
	}
	if !isText(e.Client, 2) {
		return errors.New("client is neither a path nor a list of paths or of pairs")
	}
	for name, value := range e.Header {
		if !isText(value, 1) {
			return fmt.Errorf("header %q is neither a text nor a list of them", name)
		}
	}
	if e.DialTimeout != "" {
		if _, err := time.ParseDuration(e.DialTimeout); err != nil {
			return fmt.Errorf("dial_timeout: %w", err)
		}
	}
	return nil
}

// isText says whether v is absent, a text, or texts in lists, at most so many in one another.
func isText(v any, lists int) bool {
	switch v := v.(type) {
	case nil, string:
		return true
	case []any:
		for _, one := range v {
			if one == nil || lists == 0 || !isText(one, lists-1) {
				return false
			}
		}
		return lists > 0
	}
	return false
}
