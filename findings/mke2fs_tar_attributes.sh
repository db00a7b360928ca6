#!/usr/bin/env bash
# mke2fs makes a file system of a tar and leaves out what the tar says of attributes and ACLs, without a word.
#
# What one expects: "mke2fs -d x.tar" gives what "tar x" and "mke2fs -d folder" give, and needs no root for it. What happens:
# of a file's extended attributes the capabilities alone arrive; user, trusted and other security ones and the POSIX ACL are
# left out, the status is 0 and e2fsck finds nothing wrong. The same mke2fs takes the same attribute from a folder. An image
# built that way has lost overlayfs' marks, SELinux' labels and who may read what.
#
# Seen with e2fsprogs 1.47.2 and libarchive 3.7.4 of Debian 13. It needs Go, bash, tar, apt, dpkg-deb, Debian's keyring and a
# temp folder that keeps user attributes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir -p apt/lists/partial apt/cache/archives/partial apt/parts debs root
cat >apt/parts/trixie.sources <<'SOURCES'
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$dir/apt/parts" -o "Dir::State::lists=$dir/apt/lists"
	-o "Dir::Cache=$dir/apt/cache" -o Dir::State::status=/dev/null -o APT::Architecture=amd64 -o Acquire::Languages=none
	-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=root)
apt-get "${options[@]}" -qq update
cd debs
apt-get "${options[@]}" -qq download e2fsprogs libext2fs2t64 libcom-err2 libss2 libuuid1 libblkid1 libarchive13t64 libacl1 \
	libxml2 libnettle8t64 libc6 liblzma5 libzstd1 liblz4-1 libbz2-1.0 zlib1g libicu76 libstdc++6 libgcc-s1
for deb in *.deb; do dpkg-deb -x "$deb" ../root; done
cd ..
libraries=root/usr/lib/x86_64-linux-gnu
trixie() {
	"$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "root/usr/sbin/$1" "${@:2}"
}
cat >main.go <<'GO'
package main

import (
	"archive/tar"
	"os"
)

func main() {
	w := tar.NewWriter(os.Stdout)
	for name, record := range map[string][2]string{
		"user":       {"SCHILY.xattr.user.mime_type", "text/plain"},
		"overlay":    {"SCHILY.xattr.trusted.overlay.opaque", "y"},
		"label":      {"SCHILY.xattr.security.selinux", "system_u:object_r:etc_t:s0"},
		"capability": {"SCHILY.xattr.security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		"acl":        {"SCHILY.acl.access", "user::rw-,user:1000:r--,group::r--,mask::r--,other::---"},
	} {
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatPAX, PAXRecords: map[string]string{record[0]: record[1]}}
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
}
GO
go run main.go >x.tar

trixie mke2fs -V 2>&1 | head -n 1
trixie mke2fs -q -t ext4 -d x.tar of-tar 32M
trixie e2fsck -fn of-tar >/dev/null 2>&1
echo "of a tar: status 0, and 0 of e2fsck -fn"
kept() { trixie debugfs -R "ea_list $2" "$1" 2>/dev/null | sed -n 's/^  \([a-z_.]*\) (.*/\1/p'; }
arrived=
for name in user overlay label acl capability; do
	attribute=$(kept of-tar "$name")
	echo "of a tar, file $name: ${attribute:-no attribute}"
	arrived+="$name=$attribute "
done
mkdir folder
tar --xattrs --xattrs-include='user.*' -C folder -xf x.tar user
trixie mke2fs -q -t ext4 -d folder of-folder 32M
echo "of a folder, file user: $(kept of-folder user)"
[ "$arrived" = "user= overlay= label= acl= capability=security.capability " ]
[ "$(kept of-folder user)" = user.mime_type ]
