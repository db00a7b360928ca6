// Command ping sends one echo request to 127.0.0.1 as ping(8) of iputils does for users without privileges: through a
// datagram socket of ICMP, which net.ipv4.ping_group_range allows (icmp(7)). busybox's knows raw sockets alone.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	if err := ping(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("1 received")
}

func ping() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, syscall.IPPROTO_ICMP)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 30}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	request := []byte{8, 0, 0, 0, 0, 0, 0, 1} // echo, sequence 1; the kernel writes checksum and id
	if err := syscall.Sendto(fd, request, 0, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	reply := make([]byte, 64)
	n, _, err := syscall.Recvfrom(fd, reply, 0)
	if err != nil {
		return os.NewSyscallError("recvfrom", err)
	}
	if n < 8 || reply[0] != 0 || reply[7] != 1 {
		return fmt.Errorf("the answer is %x, no echo reply", reply[:n])
	}
	return nil
}
