package listentable

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
)

// Connection is one of TCP. Both ends are IPv4 also of an IPv6 socket with mapped addresses.
type Connection struct{ Local, Remote netip.AddrPort }

// States of connections that both ends know of, and of which something may still come.
const (
	stateEstablished = 1
	stateFinWait1    = 4
	stateFinWait2    = 5
	stateCloseWait   = 8
)

// Connections gives those of TCP that are open, in the tables below dir, which is /proc/net but in tests.
func Connections(dir string) (list []Connection, err error) {
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(dir + "/" + table)
		if errors.Is(err, fs.ErrNotExist) && table == "tcp6" {
			continue
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for heading := true; lines.Scan() && err == nil; heading = false {
			if !heading {
				list, err = appendOpen(list, lines.Text())
			}
		}
		_ = f.Close() // only read
		if err = errors.Join(err, lines.Err()); err != nil {
			return nil, fmt.Errorf("%s/%s: %w", dir, table, err)
		}
	}
	return list, nil
}

func appendOpen(list []Connection, line string) ([]Connection, error) {
	s, state, err := parse(line)
	if err != nil {
		return nil, err
	}
	switch state {
	case stateEstablished, stateFinWait1, stateFinWait2, stateCloseWait:
		remote, err := parseEnd(strings.Fields(line)[2])
		return append(list, Connection{netip.AddrPortFrom(s.Address, s.Port), remote}), err
	}
	return list, nil
}
