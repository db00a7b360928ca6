// Package listentable reads which ports are taken by servers, and which connections are open, from the kernel's tables in /proc/net (their format:
// proc_net_tcp in the kernel's documentation, Documentation/networking/proc_net_tcp.rst). It opens no socket, needs no
// module and no right, and sees the network namespace of who asks. A socket that is bound and does not listen is in
// none of the tables.
//
// The agent asks it in a guest, the planner's reader of the world on the host. It imports the standard library alone.
package listentable

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Socket is one that takes connections, or datagrams from everybody.
type Socket struct {
	Address netip.Addr // IPv4 also of an IPv6 socket that is bound to a mapped address
	Port    uint16
	UDP     bool
}

// OnLoopback says whether it is reached through 127.0.0.1 or ::1. A socket on :: may be one for IPv6 alone: that is
// not in the table.
func (s Socket) OnLoopback() bool {
	return s.Address.IsUnspecified() || s.Address == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || s.Address == netip.IPv6Loopback()
}

// States of sockets in the tables (include/net/tcp_states.h). A socket of UDP without a peer is in TCP_CLOSE.
const (
	stateClose  = 7
	stateListen = 10
)

// Read gives the sockets of TCP, or of UDP, in the tables below dir, which is /proc/net but in tests. A kernel without
// IPv6 has no table of that.
func Read(dir string, udp bool) ([]Socket, error) {
	name := "tcp"
	if udp {
		name = "udp"
	}
	var list []Socket
	for _, table := range []string{name, name + "6"} {
		f, err := os.Open(dir + "/" + table)
		if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(table, "6") {
			continue
		}
		if err != nil {
			return nil, err
		}
		list, err = read(list, f, udp)
		_ = f.Close() // only read
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", dir, table, err)
		}
	}
	return list, nil
}

// read ends at the first connection of TCP: the kernel lists who listens before those, of which there may be many
// (tcp_get_idx in net/ipv4/tcp_ipv4.c).
func read(list []Socket, r io.Reader, udp bool) ([]Socket, error) {
	lines := bufio.NewScanner(r)
	for heading := true; lines.Scan(); heading = false {
		if heading {
			continue
		}
		s, state, err := parse(lines.Text())
		if err != nil {
			return nil, err
		}
		s.UDP = udp
		switch {
		case udp && state == stateClose, !udp && state == stateListen:
			list = append(list, s)
		case !udp:
			return list, nil
		}
	}
	return list, lines.Err()
}

// parse reads "N: ADDRESS:PORT PEER:PORT STATE ...", all in hexadecimal.
func parse(line string) (s Socket, state uint64, err error) {
	words := strings.Fields(line)
	if len(words) < 4 {
		return s, 0, fmt.Errorf("a line of %d words", len(words))
	}
	at, err := parseEnd(words[1])
	if err != nil {
		return s, 0, err
	}
	s.Address, s.Port = at.Addr(), at.Port()
	if state, err = strconv.ParseUint(words[3], 16, 8); err != nil {
		return s, 0, fmt.Errorf("state %q", words[3])
	}
	return s, state, nil
}

func parseEnd(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	a, err := parseAddress(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q", port)
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// parseAddress reads words of 32 bits as this machine writes numbers, whose bytes in memory are the address.
func parseAddress(text string) (netip.Addr, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.Addr{}, fmt.Errorf("address %q", text)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap(), nil
}
