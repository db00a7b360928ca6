package quantity

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]struct {
		size  Size
		human string
	}{
		"512MiB":               {512 << 20, "512 MiB"},
		"1GiB":                 {1 << 30, "1 GiB"},
		"2TiB":                 {2 << 40, "2 TiB"},
		"1024MiB":              {1 << 30, "1 GiB"},
		"1536MiB":              {1536 << 20, "1536 MiB"},
		"100MB":                {100_000_000, "100 MB"},
		"1KB":                  {1000, "1 kB"},
		"1kB":                  {1000, "1 kB"},
		"1 GiB":                {1 << 30, "1 GiB"},
		"0B":                   {0, "0 B"},
		"007KiB":               {7 << 10, "7 KiB"},
		"8191PiB":              {8191 << 50, "8191 PiB"},
		"9223372036854775807B": {math.MaxInt64, "9223372036854775807 B"},
	} {
		got, err := ParseSize(text)
		if err != nil || got != want.size || got.String() != want.human {
			t.Errorf("%s is %d (%v), %v; want %d (%s)", text, got, got, err, want.size, want.human)
		}
		if again, err := ParseSize(got.Text()); err != nil || again != got {
			t.Errorf("%s prints %s, which is %d, %v", text, got.Text(), again, err)
		}
	}
	for text, why := range map[string]string{
		"": "no number", "512": "no unit", "MiB": "no number", "-1GiB": "no number", "1.5GiB": "unknown unit",
		"1gib": "unknown unit", "1G": "unknown unit", "8192PiB": "8 EiB", "9223372036854775808B": "8 EiB",
		"1  GiB": "unknown unit", "1GiB ": "unknown unit", " 1GiB": "no number", "1 ": "unknown unit",
	} {
		_, err := ParseSize(text)
		var p *ParseError
		if !errors.As(err, &p) || !strings.Contains(p.Why, why) || !strings.Contains(err.Error(), "512MiB") {
			t.Errorf("%q: %v, want %s", text, err, why)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]Duration{
		"10s": 10 * Second, "5m": 5 * Minute, "1h30m": 90 * Minute, "500ms": 500 * Millisecond, "0s": 0,
		"1h2m3s4ms": Hour + 2*Minute + 3*Second + 4*Millisecond, "90m": 90 * Minute,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
		if again, err := ParseDuration(got.String()); err != nil || again != got {
			t.Errorf("%s prints %v, which is %v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "10", "s", "1m1h", "1s1s", "1d", "1.5h", "-1s", "1h ", "99999999999h",
		"2562047h2562047h", "9223372036854775808ms", "2562047h60m"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	if got := (90*Minute + 1).String(); got != "1h30m" {
		t.Errorf("90 minutes are %s", got)
	}
	if got := (-5 * Second).String(); got != "-5s" {
		t.Errorf("minus five seconds are %s", got)
	}
}

func TestParseMode(t *testing.T) {
	for text, want := range map[string]Mode{"0755": 0o755, "755": 0o755, "1777": 0o1777, "01777": 0o1777, "0000": 0} {
		if got, err := ParseMode(text); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "7", "75", "0888", "77777", "0o755", "rwx", "-755", "007777"} {
		if got, err := ParseMode(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	if got := Mode(0o7).String(); got != "0007" {
		t.Errorf("mode 7 is %s", got)
	}
}

func TestParseName(t *testing.T) {
	for _, text := range []string{"a", "web-1", "x9", "a-", strings.Repeat("n", MaxName)} {
		if got, err := ParseName(text); err != nil || got.String() != text {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "A", "9", "-a", "a.b", "a_b", "ä", "a b", "a\x00", strings.Repeat("n", MaxName+1)} {
		if _, err := ParseName(text); err == nil {
			t.Errorf("%q is a name", text)
		}
	}
}

// A value that is refused leaves what was there.
func TestJSON(t *testing.T) {
	type all struct {
		S Size
		D Duration
		M Mode
		N Name
	}
	in := all{512 * MiB, 90 * Minute, 0o755, "data"}
	b, err := json.Marshal(in)
	if err != nil || string(b) != `{"S":"512MiB","D":"1h30m","M":"0755","N":"data"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var out all
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%+v, %v", out, err)
	}
	for _, bad := range []string{`{"S":"1"}`, `{"D":"1"}`, `{"M":"9"}`, `{"N":"9"}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil || out != in {
			t.Errorf("%s gave %+v, %v", bad, out, err)
		}
	}
}

// FuzzParse checks that what a quantity prints is read as the same value, and that nothing panics.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"512MiB", "1 kB", "1h30m", "10s", "0755", "data", "", "9223372036854775807B", "0", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ParseSize(text); err == nil {
			if again, err := ParseSize(v.Text()); err != nil || again != v || v < 0 {
				t.Errorf("size %q is %d, and %s is %d, %v", text, v, v.Text(), again, err)
			}
			if again, err := ParseSize(v.String()); err != nil || again != v {
				t.Errorf("size %q is %d, and %s is %d, %v", text, v, v, again, err)
			}
		}
		if v, err := ParseDuration(text); err == nil {
			if again, err := ParseDuration(v.String()); err != nil || again != v || v < 0 {
				t.Errorf("duration %q is %d, and %v is %d, %v", text, v, v, again, err)
			}
		}
		if v, err := ParseMode(text); err == nil {
			if again, err := ParseMode(v.String()); err != nil || again != v || v > 0o7777 {
				t.Errorf("mode %q is %d, and %v is %d, %v", text, v, v, again, err)
			}
		}
		if v, err := ParseName(text); err == nil && (len(v) == 0 || len(v) > MaxName || v[0] < 'a' || v[0] > 'z') {
			t.Errorf("%q is a name", text)
		}
	})
}
