#!/usr/bin/env bash
# Page table isolation, which costs a native system call a few percent, makes one in a guest under QEMU's emulation many
# times dearer.
#
# What one expects: kernel mitigations cost an emulated guest about what they cost a real machine, in proportion. What
# happens: with PTI each entry and each exit writes CR3, and TCG answers a write of CR3 with an empty translation buffer, so
# that what comes behind each system call is looked up anew. The kernel turns PTI on by itself for the models of CPUs that
# need it, such as Nehalem, the first that has all of x86-64-v2; for "max" it does not. A guest whose boundary is the
# emulator, and not that between its kernel and its own processes, can be booted with nopti.
#
# Seen with Debian's kernel 6.1.192-2 (cloud) and QEMU 7.2.22: a getppid took 35 us with PTI and 1 us without. It needs Go,
# bash, cpio, dpkg-deb, apt and qemu-system-x86.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
apt-get download "$package" >/dev/null 2>&1
dpkg-deb -x ./*.deb kernel
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := syscall.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		fmt.Println("mount:", err)
	}
	runtime.LockOSThread()
	const n = 20000
	began := time.Now()
	for range n {
		syscall.Getppid()
	}
	took := time.Since(began)
	meltdown, _ := os.ReadFile("/sys/devices/system/cpu/vulnerabilities/meltdown")
	fmt.Printf("RESULT %d %s\n", took.Nanoseconds()/n, strings.TrimSpace(string(meltdown)))
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
GO
mkdir -p root/sys
CGO_ENABLED=0 go build -o root/init main.go
(cd root && find . | cpio -o -H newc --quiet) >initrd
echo "$(qemu-system-x86_64 --version | head -n 1), $(basename kernel/boot/vmlinuz-*)"
boot() {
	timeout 300 qemu-system-x86_64 -accel tcg -cpu Nehalem -m 256M -nodefaults -no-user-config -display none -no-reboot \
		-kernel kernel/boot/vmlinuz-* -initrd initrd -append "console=ttyS0 quiet panic=-1 $1" -serial stdio | tr -d '\r' | grep -a -o 'RESULT .*'
}
read -r _ with how < <(boot "")
echo "as it boots: $with ns a getppid ($how)"
read -r _ without how < <(boot nopti)
echo "with nopti: $without ns a getppid ($how)"
[ "$with" -gt $((10 * without)) ]
