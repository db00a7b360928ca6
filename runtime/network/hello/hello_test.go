package hello

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"microagent/runtime/network/policy"
)

// captured is what a real client of the standard library sends first.
func captured(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(client, config).Handshake()
	}()
	b := make([]byte, Most)
	n, err := server.Read(b)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	_, _ = client.Close(), server.Close()
	<-done
	return b[:n]
}

// extension is one of a hello that is made by hand.
func extension(kind uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}

func sni(name string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(name)+3))
	b = append(b, 0)
	return extension(0, append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...))
}

// made is a hello with extensions, in records of at most size bytes.
func made(size int, extensions ...[]byte) []byte {
	all := slices.Concat(extensions...)
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 2, 0x13, 1, 1, 0)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(all))), all...)
	message := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	var b []byte
	for chunk := range slices.Chunk(message, size) {
		b = append(append(b, 22, 3, 1, byte(len(chunk)>>8), byte(len(chunk))), chunk...)
	}
	return b
}

func TestRead(t *testing.T) {
	name := policy.Hello{TLS: true, Name: "api.example.com"}
	long := extension(21, make([]byte, 3000))
	for _, c := range []struct {
		about string
		bytes []byte
		want  policy.Hello
	}{
		{"a client of TLS 1.3", captured(t, &tls.Config{ServerName: "api.example.com"}), name},
		{"a client of TLS 1.2", captured(t, &tls.Config{ServerName: "api.example.com", MaxVersion: tls.VersionTLS12}), name},
		{"without a name", captured(t, &tls.Config{InsecureSkipVerify: true}), policy.Hello{TLS: true}},
		{"of an address", captured(t, &tls.Config{ServerName: "192.0.2.1"}), policy.Hello{TLS: true}},
		{"in one record", made(1<<14, long, sni("api.example.com")), name},
		{"in many records", made(7, long, sni("api.example.com")), name},
		{"with more behind it", append(made(1<<14, sni("api.example.com")), 20, 3, 3, 0, 1, 1), name},
		{"ECH", made(1<<14, sni("api.example.com"), extension(0xfe0d, []byte{0})), policy.Hello{TLS: true, Name: "api.example.com", ECH: true}},
		{"ESNI", made(1<<14, sni("api.example.com"), extension(0xffce, nil)), policy.Hello{TLS: true, Name: "api.example.com", ECH: true}},
		{"two names", made(1<<14, sni("api.example.com"), sni("evil.example")), policy.Hello{}},
		{"two names in one list", made(1<<14, extension(0, []byte{0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'})), policy.Hello{}},
		{"an empty name", made(1<<14, sni("")), policy.Hello{}},
		{"a name of another kind", made(1<<14, extension(0, []byte{0, 4, 1, 0, 1, 'a'})), policy.Hello{}},
		{"a cut extension", made(1<<14, []byte{0, 0, 0, 9, 1}), policy.Hello{}},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"), policy.Hello{}},
		{"SSH", []byte("SSH-2.0-x\r\n"), policy.Hello{}},
		{"SSL 2", []byte{0x80, 0x2e, 1, 0, 2}, policy.Hello{}},
		{"another handshake", []byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, policy.Hello{}},
		{"an alert in the middle", append(made(1<<14, sni("api.example.com"))[:5:5], 21, 3), policy.Hello{}},
		{"an empty record", []byte{22, 3, 1, 0, 0}, policy.Hello{}},
		{"a record too long", []byte{22, 3, 1, 0xff, 0xff}, policy.Hello{}},
		{"another version", []byte{22, 2}, policy.Hello{}},
		{"a hello too long", []byte{22, 3, 1, 0, 4, 1, 1, 0, 0}, policy.Hello{}},
		{"one byte a record", made(1, extension(21, make([]byte, 4000)), sni("api.example.com")), policy.Hello{}},
	} {
		h, more := Read(c.bytes)
		if h != c.want || more && len(c.bytes) >= Most {
			t.Errorf("%s: %+v, more %t; not %+v", c.about, h, more, c.want)
		}
	}
}

// TestReadBitByBit: whatever comes first, the answer is that of the whole.
func TestReadBitByBit(t *testing.T) {
	whole := made(300, extension(21, make([]byte, 1000)), sni("api.example.com"))
	for n := range whole {
		if h, more := Read(whole[:n]); !more || h != (policy.Hello{}) {
			t.Fatalf("%d of %d bytes: %+v, more %t", n, len(whole), h, more)
		}
	}
	if h, more := Read(whole); more || h.Name != "api.example.com" {
		t.Errorf("%+v, more %t", h, more)
	}
	endless := bytes.Repeat([]byte{22, 3, 1, 0x40, 0}, Most)
	if _, more := Read(endless[:Most]); more {
		t.Error("more than Most bytes are asked for")
	}
}

// FuzzRead: a prefix never says what the whole does not, and a name has been there.
func FuzzRead(f *testing.F) {
	f.Add(made(1<<14, sni("api.example.com")), 10)
	f.Add(made(9, extension(0xfe0d, nil), sni("a")), 3)
	f.Add([]byte("GET /"), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		h, more := Read(b)
		if more && len(b) >= Most || more && h.TLS {
			t.Errorf("%x: %+v, more %t", b, h, more)
		}
		if h.Name != "" && !strings.Contains(string(b), h.Name[:1]) {
			t.Errorf("%x: the name %q", b, h.Name)
		}
		if n < 0 || n > len(b) {
			return
		}
		if early, wants := Read(b[:n]); !wants && early != h && len(b) <= Most {
			t.Errorf("%x is %+v, and its first %d bytes %+v", b, h, n, early)
		}
	})
}
