#!/usr/bin/env bash
# A file that debugfs writes to the disk of a guest that crashed is taken back by the next mount, and no tool says so.
#
# What one expects: debugfs -w refuses a file system that needs its journal replayed, or replays it first, as a mount does;
# or e2fsck finds fault with what comes of it. What happens: debugfs reads the state before the journal, so that a file which
# the guest wrote and synced is not there; it writes, ends with 0 and reads the new file back; e2fsck -fn finds nothing wrong.
# Then the replay puts the guest's blocks over those of the write: the new file is gone, "clean", status 0. Copying to a
# stopped machine's disk begins with a replay (e2fsck -p -E journal_only, or one's own), and reading from it as well.
#
# Seen with e2fsprogs 1.47.0. It needs bash, cmp and e2fsprogs.
set -euo pipefail
PATH=$PATH:/sbin:/usr/sbin
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo "$(debugfs -V 2>&1 | head -n 1)"
truncate -s 64M disk
mke2fs -q -t ext4 -b 4096 disk
echo guest >guest
echo host >host

# What the guest wrote is in the journal of its disk, as after a crash: those blocks in which a disk with it differs.
cp disk wrote
debugfs -w -R "write guest guest" wrote >/dev/null 2>&1
blocks=$({ cmp -l disk wrote || true; } | awk '{print int(($1 - 1) / 4096)}' | sort -nu)
for block in $blocks; do dd if=wrote bs=4096 skip="$block" count=1 status=none; done >content
printf 'journal_open\njournal_write -b %s content\njournal_close\n' "$(paste -sd , <<<"$blocks")" >commands
debugfs -w -f commands disk >/dev/null 2>&1
dumpe2fs -h disk 2>/dev/null | grep -o needs_recovery

names() { debugfs -R "ls -p" disk 2>/dev/null | awk -F / 'NF > 5 {print $6}' | grep -E '^(guest|host)$' | paste -sd ' ' || true; }
check() { e2fsck -fn disk >/dev/null 2>&1 && echo "e2fsck -fn: status 0" || echo "e2fsck -fn: status $?"; }
before=$(names)
echo "before the replay debugfs sees: ${before:-neither file}"
debugfs -w -R "write host host" disk >/dev/null 2>&1
after=$(names)
echo "debugfs wrote, status 0, and sees: $after"
found=$(check)
echo "$found"
e2fsck -p disk
replayed=$(names)
echo "behind the replay: $replayed"
[ "$before/$after/$found/$replayed/$(check)" = "/host/e2fsck -fn: status 0/guest/e2fsck -fn: status 0" ]
