package guesttree

import "testing"

func TestLinksThatStay(t *testing.T) {
	for target, want := range map[string]bool{
		"x": true, "../x": true, "./../x/y": true, "..": true, ".": true, "..//./x": true, "nowhere/y": true,
		"../..": false, "/etc": false, "": false, "x/..": false, "../x/../../y": false, "../x/../y": false,
	} {
		if got := LinkStays("dir/link", target); got != want {
			t.Errorf("dir/link -> %q stays: %v", target, got)
		}
	}
}
