package layer

import (
	"archive/tar"
	"strings"
	"testing"
)

// The id that chown(2) takes for "leave it" belongs to nobody: a file that had it could be changed by no one.
func TestNobodysIDIsRoot(t *testing.T) {
	for _, id := range [][2]int{{noID, noID}, {noID, 7}, {7, noID}} {
		h := tar.Header{Name: "x", Typeflag: tar.TypeReg, Uid: id[0], Gid: id[1], Format: tar.FormatGNU}
		x, err := apply(t, Limits{}, pack(t, item{h, ""}))
		if err != nil {
			t.Fatal(err)
		}
		n, err := x.Resolve("x", false)
		if err != nil || n.UID == noID || n.GID == noID || n.UID+n.GID > 7 {
			t.Errorf("owner %v became %d:%d, %v", id, n.UID, n.GID, err)
		}
	}
	for _, id := range []int{-1, noID + 1} {
		if _, ok := parseOwner(id); ok {
			t.Errorf("owner %d is taken", id)
		}
	}
	if got, ok := parseOwner(noID - 1); !ok || got != noID-1 {
		t.Errorf("owner %d became %d", noID-1, got)
	}
	if _, err := parseACL("user::rwx,user:4294967295:r--,group::r-x,mask::r-x,other::---"); err != errACLName {
		t.Errorf("an ACL for nobody: %v", err)
	}
}

// An ACL that names somebody without a number is answered with what makes one with it: tar 1.34 ignores --numeric-owner there.
func TestACLByName(t *testing.T) {
	if _, err := parseACL("user::rwx,user:bob:r--,group::r-x,mask::r-x,other::---"); err == nil ||
		!strings.Contains(err.Error(), "--xattrs-include") || strings.Contains(err.Error(), "numeric-owner") {
		t.Errorf("an ACL by name: %v", err)
	}
}

// GNU tar and bsdtar write = and % in a name as %3D and %25, and nothing else.
func TestStarNames(t *testing.T) {
	h := tar.Header{Name: "x", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{
		"SCHILY.xattr.user.a%3Db": "1", "SCHILY.xattr.user.50%25": "2", "SCHILY.xattr.user.%253D": "3", "SCHILY.xattr.user.a%20b": "4",
	}}
	x, err := apply(t, Limits{}, pack(t, item{h, ""}))
	if err != nil {
		t.Fatal(err)
	}
	n, err := x.Resolve("x", false)
	if err != nil {
		t.Fatal(err)
	}
	attrs, err := x.Xattrs(n)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"user.a=b": "1", "user.50%": "2", "user.%3D": "3", "user.a%20b": "4"} {
		if string(attrs[name]) != value {
			t.Errorf("%s is %q; all are %q", name, attrs[name], attrs)
		}
	}
}
