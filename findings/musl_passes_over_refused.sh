#!/usr/bin/env bash
# A name that a resolver answers with REFUSED is asked for again and again by programs of musl, as if nobody had answered.
#
# What one expects: REFUSED is how a name server says that its policy denies a name (RFC 1035, section 4.1.1), and getaddrinfo
# fails at once. What happens: musl, the libc of Alpine's images, takes it for no answer, asks again and waits for the
# timeout, 5 s for each lookup; then it says that one may try again. glibc fails at once, and calls it a temporary failure as
# well, so that who retries goes on. NXDOMAIN ends both at once and for good. A sandbox's resolver that denies a name the
# honest way makes each denial a pause, and the policy looks like a broken network.
#
# Seen with musl 1.2.3 and glibc 2.36 of Debian 12. It needs Go, bash, gcc, apt, dpkg-deb and user namespaces or root.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir debs root lookup
(cd debs && apt-get -qq -o APT::Sandbox::User=root download musl musl-dev)
for deb in debs/*.deb; do dpkg-deb -x "$deb" root; done
cat >lookup/main.c <<'C'
#include <netdb.h>
#include <stdio.h>

int main(int argc, char **argv) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *result;
	int code = getaddrinfo(argv[1], "80", &hints, &result);
	puts(code == 0 ? "found" : code == EAI_AGAIN ? "try again" : code == EAI_NONAME ? "no such name" : gai_strerror(code));
	return 0;
}
C
gcc -o by-glibc lookup/main.c
musl=root/usr/lib/x86_64-linux-musl
gcc -static -nostdinc -nostdlib -isystem root/usr/include/x86_64-linux-musl -o by-musl "$musl/crt1.o" "$musl/crti.o" lookup/main.c "$musl/libc.a" \
	-lgcc "$musl/libc.a" "$musl/crtn.o"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.50.0
)
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// inside runs this program again in a network of its own, with files of its own mounted.
func inside() {
	self := exec.Command("/proc/self/exe", "inside")
	self.Stdout, self.Stderr = os.Stdout, os.Stderr
	self.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	must(self.Run())
}

// loopback brings lo up.
func loopback() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	lo, err := unix.NewIfreq("lo")
	must(err)
	lo.SetUint16(unix.IFF_UP)
	must(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
}

func main() {
	if len(os.Args) == 1 {
		inside()
		return
	}
	loopback()
	must(os.WriteFile("resolv.conf", []byte("nameserver 127.0.0.1\n"), 0o644))
	must(os.WriteFile("nsswitch.conf", []byte("hosts: dns\n"), 0o644))
	must(unix.Mount("resolv.conf", "/etc/resolv.conf", "", unix.MS_BIND, ""))
	must(unix.Mount("nsswitch.conf", "/etc/nsswitch.conf", "", unix.MS_BIND, ""))

	var code atomic.Int32
	var questions atomic.Int32
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	must(err)
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(b)
			must(err)
			var m dnsmessage.Message
			must(m.Unpack(b[:n]))
			questions.Add(1)
			answer := dnsmessage.Message{Questions: m.Questions}
			answer.ID, answer.Response, answer.RecursionAvailable, answer.RCode = m.ID, true, true, dnsmessage.RCode(code.Load())
			out, err := answer.Pack()
			must(err)
			_, err = conn.WriteTo(out, from)
			must(err)
		}
	}()

	changed := false
	for _, row := range []struct {
		code          dnsmessage.RCode
		program, want string
		once          bool
	}{
		{dnsmessage.RCodeRefused, "./by-musl", "try again", false},
		{dnsmessage.RCodeRefused, "./by-glibc", "try again", false},
		{dnsmessage.RCodeNameError, "./by-musl", "no such name", true},
		{dnsmessage.RCodeNameError, "./by-glibc", "no such name", true},
	} {
		code.Store(int32(row.code))
		questions.Store(0)
		began := time.Now()
		out, err := exec.Command(row.program, "denied.example").Output()
		must(err)
		took := time.Since(began).Round(10 * time.Millisecond)
		said := strings.TrimSpace(string(out))
		fmt.Printf("%s, %s: %q after %v and %d questions\n", row.code, row.program, said, took, questions.Load())
		waits := row.code == dnsmessage.RCodeRefused && row.program == "./by-musl"
		changed = changed || said != row.want || (questions.Load() == 1) != row.once || waits && took < 2*time.Second
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
go build -o ask .
echo "$(ls debs | sed -n 's/^\(musl_[^_]*\).*/\1/p'), $(ldd --version | head -n 1)"
./ask
