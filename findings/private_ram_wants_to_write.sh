#!/usr/bin/env bash
# QEMU's private mapping of a file as guest memory needs the right to write the file.
#
# What one expects: memory-backend-file with share=off is a copy-on-write mapping, so that many machines can start from one
# saved memory that none of them may change, and a file that is readable is enough. What happens: the file is opened for
# reading and writing all the same, and without that right QEMU ends ("can't open backing store ... Permission denied").
# With readonly=on it starts, and what the guest has for memory is a ROM. Who hands one file to several machines hands each
# of them the right to change it for the others; a sealed memfd can be opened like that and not be changed.
#
# Seen with QEMU 7.2.22 of Debian 12. It needs bash, setpriv and qemu-system-x86.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
truncate -s 64M "$dir/ram"
chmod 444 "$dir/ram"
qemu-system-x86_64 --version | head -n 1
machine() {
	setpriv --reuid 65534 --regid 65534 --clear-groups timeout 60 qemu-system-x86_64 -S -nodefaults -display none -M q35 -m 64M \
		-object "memory-backend-file,id=mem,size=64M,mem-path=$dir/ram,share=off$1" -machine memory-backend=mem \
		-monitor stdio <<<$'info mtree -f\nquit' 2>&1 | tr -d '\r'
}
if said=$(machine ""); then
	echo "share=off: it starts"
	exit 1
fi
echo "share=off: $said"
grep -q "can't open backing store" <<<"$said"
said=$(machine ,readonly=on | grep -E '\): mem( |$)' | head -n 1)
echo "share=off,readonly=on: $said"
grep -q ', rom): mem' <<<"$said"
