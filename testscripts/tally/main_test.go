package main

import (
	"strings"
	"testing"
)

func TestClose(t *testing.T) {
	pass := `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
	fail := `{"Action":"output","Package":"p","Test":"TestB","Output":"b_test.go:1: broken\n"}` + "\n" +
		`{"Action":"fail","Package":"p","Test":"TestB"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
	skipped := `{"Action":"output","Package":"p","Test":"TestC","Output":"=== RUN   TestC\n"}` + "\n" +
		`{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:1: no KVM here\n"}` + "\n" +
		`{"Action":"output","Package":"p","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}` + "\n" +
		`{"Action":"skip","Package":"p","Test":"TestC"}` + "\n"
	build := `{"Action":"build-output","ImportPath":"p","Output":"p.go:1: undefined\n"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"p"}` + "\n"
	for _, c := range []struct {
		name, in string
		expected []string
		want     string // in the output
		err      string // "" for none
	}{
		{"pass", pass, nil, "1 passed, 0 failed, 0 skipped", ""},
		{"nothing", "", nil, "0 passed", "no test ran"},
		{"fail", pass + fail, nil, "b_test.go:1: broken", "1 tests in 1 packages failed"},
		{"build", pass + build, nil, "p.go:1: undefined", "0 tests in 1 packages failed"},
		{"expected skip", pass + skipped, []string{"no KVM"}, "skip  p.TestC: c_test.go:1: no KVM here", ""},
		{"unexpected skip", pass + skipped, []string{"no QEMU"}, "UNEXPECTED SKIP  p.TestC", "1 tests were skipped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var counted tally
			var out strings.Builder
			if err := counted.read(strings.NewReader(c.in), &out); err != nil {
				t.Fatal(err)
			}
			err := counted.close(&out, "tests", c.expected)
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("output %q lacks %q", out.String(), c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
