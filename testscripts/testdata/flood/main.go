// Command flood does to its network what a hostile guest may, until FOLDER/enough is there; once it has done much of it, it
// makes FOLDER/much, and at its end FOLDER/over:
//
//	flood FOLDER beginnings ADDRESS:PORT    beginnings of connections, with no more behind them
//	flood FOLDER datagrams ADDRESS:1        to one port after another
//	flood FOLDER names SERVER:53            questions for names that were never asked for, whose answers nobody reads
//	flood FOLDER deaf HOST:PORT             connections that ask for /big and read nothing of it
package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
)

// much is how often it is done before others begin.
const much = 3000

func main() {
	folder, what, to := os.Args[1], os.Args[2], os.Args[3]
	check(os.MkdirAll(folder, 0o755))
	do := map[string]func(string) func(int) error{"beginnings": beginnings, "datagrams": datagrams, "names": names, "deaf": deaf}[what](to)
	for n := 0; ; n++ {
		_ = do(n) // what has no room is lost
		if n == much {
			check(os.WriteFile(filepath.Join(folder, "much"), nil, 0o644))
		}
		if n%100 == 0 {
			if _, err := os.Stat(filepath.Join(folder, "enough")); err == nil {
				break
			}
		}
	}
	check(os.WriteFile(filepath.Join(folder, "over"), nil, 0o644))
}

// beginnings sends segments of TCP past the guest's own kernel: RFC 9293, section 3.1.
func beginnings(to string) func(int) error {
	target := netip.MustParseAddrPort(to)
	c, err := net.ListenPacket("ip4:tcp", "0.0.0.0")
	check(err)
	from := netip.MustParseAddr("198.18.0.2")
	return func(n int) error {
		s := make([]byte, 20)
		binary.BigEndian.PutUint16(s, uint16(1024+n%60000))
		binary.BigEndian.PutUint16(s[2:], target.Port())
		binary.BigEndian.PutUint32(s[4:], uint32(n))
		s[12], s[13], s[14] = 5<<4, 2, 0xff // its own length, SYN, a window
		binary.BigEndian.PutUint16(s[16:], checksum(from, target.Addr(), s))
		_, err := c.WriteTo(s, &net.IPAddr{IP: target.Addr().AsSlice()})
		return err
	}
}

func checksum(from, to netip.Addr, segment []byte) uint16 {
	sum := uint32(6 + len(segment)) // the protocol's number
	for _, part := range [][]byte{from.AsSlice(), to.AsSlice(), segment} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func datagrams(to string) func(int) error {
	target := netip.MustParseAddrPort(to)
	c, err := net.ListenPacket("udp4", "0.0.0.0:0")
	check(err)
	return func(n int) error {
		_, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: target.Addr().AsSlice(), Port: 1 + n%65535})
		return err
	}
}

// names asks by messages of RFC 1035, section 4.1.
func names(to string) func(int) error {
	c, err := net.Dial("udp", to)
	check(err)
	return func(n int) error {
		name := fmt.Sprintf("n%d", n)
		m := []byte{byte(n >> 8), byte(n), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(name))}
		m = append(append(m, name...), "\x07example\x03com\x00\x00\x01\x00\x01"...)
		_, err := c.Write(m)
		return err
	}
}

func deaf(to string) func(int) error {
	var open []net.Conn
	return func(int) error {
		if len(open) == 64 {
			return nil
		}
		c, err := net.Dial("tcp", to)
		if err != nil {
			return err
		}
		open = append(open, c)
		_, err = c.Write([]byte("GET /big HTTP/1.0\r\nHost: files.example.com\r\n\r\n"))
		return err
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}
