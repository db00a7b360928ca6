package spec

import (
	"strings"
	"testing"
)

func TestParsePort(t *testing.T) {
	for text, want := range map[string]Port{
		"8080:80":                {Host: 8080, Guest: 80},
		"8080:80/tcp":            {Host: 8080, Guest: 80},
		"53:5353/udp":            {Host: 53, Guest: 5353, Protocol: UDP},
		"auto:80":                {Auto: true, Guest: 80},
		"127.0.0.1:auto:80":      {Auto: true, Guest: 80, Address: "127.0.0.1"},
		"0.0.0.0:8080:80":        {Host: 8080, Guest: 80, Address: "0.0.0.0"},
		"[::]:8080:80":           {Host: 8080, Guest: 80, Address: "::"},
		"[::1]:8080:80/udp":      {Host: 8080, Guest: 80, Address: "::1", Protocol: UDP},
		"8000-8010:9000-9010":    {Host: 8000, Guest: 9000, Count: 11},
		"auto:8000-8010/udp":     {Auto: true, Guest: 8000, Count: 11, Protocol: UDP},
		"80-80:80":               {Host: 80, Guest: 80},
		"unix:./web.sock:80":     {Socket: "./web.sock", Guest: 80},
		"unix:/run/a:b/s:80/tcp": {Socket: "/run/a:b/s", Guest: 80},
		"65535:65535":            {Host: 65535, Guest: 65535},
	} {
		got, err := ParsePort(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; not %+v", text, got, err, want)
		}
		if again, err := ParsePort(got.String()); err != nil || again != got {
			t.Errorf("%s is written as %s and read as %+v, %v", text, got, again, err)
		}
	}
}

func TestParsePortSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string][]string{
		"80":                  {"no port of the host", "auto:80", "80:80"},
		"80/udp":              {"auto:80/udp", "80:80/udp"},
		"":                    {"8080:80"},
		"web":                 {"8080:80"},
		"8080:":               {"no port of the guest"},
		":80":                 {"no port of the host", "auto:80"},
		"127.0.0.1::80":       {"no port of the host", "auto"},
		"8080:0":              {"1 to 65535"},
		"8080:65536":          {"1 to 65535"},
		"+8080:80":            {"1 to 65535"},
		"8080:80/sctp":        {"tcp or udp"},
		"8080:80/":            {"/tcp or /udp"},
		"8080-8081:80":        {"2 of the host for 1", "8000-8010:8000-8010"},
		"8081-8080:80-81":     {"ends before it begins"},
		"auto:1-2000":         {"a range of 2000 ports", "a range of 1024 at most"},
		"1-65535:1-65535":     {"a range of 65535 ports", "a range of 1024 at most"},
		"1-65535:80":          {"a range of 65535 ports", "a range of 1024 at most"},
		"-1:80":               {`no port of the host: "-1"`, "1 to 65535"},
		"80:-1":               {`no port of the guest: "-1"`, "1 to 65535"},
		"localhost:8080:80":   {"which it is without an address"},
		"example.com:8080:80": {"where an address would be", "0.0.0.0:8080:80"},
		"::1:8080:80":         {"none for IPv6", "[::]:8080:80"},
		"[::1:8080:80":        {"closing bracket"},
		"[127.0.0.1]:8080:80": {"brackets for IPv4"},
		"[fe80::1%eth0]:1:1":  {"zone"},
		"unix::80":            {"names no socket"},
		"unix:/s:80-81":       {"one unix:PATH:GUEST for each"},
		"unix:/s:80/udp":      {"HOST:GUEST/udp"},
	} {
		got, err := ParsePort(text)
		if err == nil {
			t.Errorf("%q is read as %+v", text, got)
			continue
		}
		for _, part := range append(want, "; write ") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v: does not say %q", text, err, part)
			}
		}
	}
}

func TestManifestPort(t *testing.T) {
	for _, c := range []struct {
		guest, host, protocol string
		want                  Port
	}{
		{"5432", "", "", Port{Name: "x", Guest: 5432}},
		{"8080", "auto", "tcp", Port{Name: "x", Guest: 8080, Auto: true}},
		{"8000-8010", "9000-9010", "udp", Port{Name: "x", Guest: 8000, Count: 11, Host: 9000, Protocol: UDP}},
	} {
		if got, err := ManifestPort("x", c.guest, c.host, c.protocol); err != nil || got != c.want {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	for _, c := range [][4]string{
		{"0", "", "", "1 to 65535"}, {"80", "80", "", "-p 80:80 of create or start"}, {"80", "any", "", "auto, or a number from 1024"},
		{"80-81", "8080", "", "as many on either side"}, {"1-2000", "", "", "a range of 1024 at most"}, {"-1", "", "", `"-1" is no number`}, {"80", "auto", "sctp", "tcp or udp"},
	} {
		if got, err := ManifestPort("x", c[0], c[1], c[2]); err == nil || !strings.Contains(err.Error(), c[3]) {
			t.Errorf("%v: %+v, %v", c, got, err)
		}
	}
}

func TestParseGuestPort(t *testing.T) {
	if p, err := ParseGuestPort("53/udp"); err != nil || p != (Port{Guest: 53, Protocol: UDP}) || p.Published() {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := ParseGuestPort("x"); err == nil || !strings.Contains(err.Error(), "; write ") {
		t.Error(err)
	}
}

func TestCheckPorts(t *testing.T) {
	for list, want := range map[string]string{
		"8080:80 8081:80":                           "",
		"8080:80 8080:80/udp":                       "",
		"auto:80 auto:80":                           "",
		"8080:80 8080:81":                           "are one port of the host",
		"8000-8010:1-11 8010:80":                    "are one port of the host",
		"127.0.0.1:8080:80 [::1]:8080:80":           "",
		"8080:80 0.0.0.0:8080:81":                   "are one port of the host",
		"127.0.0.1:8080:80 [::]:8080:81":            "",
		"198.51.100.1:8080:80 0.0.0.0:8080:81":      "are one port of the host",
		"198.51.100.1:8080:80 198.51.100.2:8080:81": "",
		"unix:/s:80 unix:/s:81":                     "are one port",
		"unix:/s:80 unix:/r:80":                     "",
		"auto:1-1024 auto:80":                       "more than 1024",
		"unix:/" + strings.Repeat("s", 106) + ":80": "",
		"unix:/" + strings.Repeat("s", 107) + ":80": "write a shorter one",
	} {
		var ports []Port
		for text := range strings.FieldsSeq(list) {
			p, err := ParsePort(text)
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, p)
		}
		err := CheckPorts(ports)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", list, err)
		}
	}
}

func TestEachPortOfARange(t *testing.T) {
	got := Port{Name: "x", Guest: 80, Host: 8080, Count: 2}.Each()
	if len(got) != 2 || got[1] != (Port{Name: "x", Guest: 81, Host: 8081}) {
		t.Errorf("%+v", got)
	}
}

func FuzzParsePort(f *testing.F) {
	for _, seed := range []string{"8080:80", "[::1]:8080-8081:80-81/udp", "unix:/s:80", "auto:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePort(text)
		if err != nil {
			return
		}
		if again, err := ParsePort(p.String()); err != nil || again != p {
			t.Errorf("%q is %+v, written %q, and that is %+v, %v", text, p, p.String(), again, err)
		}
	})
}
