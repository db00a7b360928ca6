package initd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// linkName is what a guest's interface is called.
const linkName = "net0"

const tunDevice = "/dev/net/tun"

// openLink makes the interface, with its addresses and routes, and gives the device whose reads and writes are its packets,
// each with a struct virtio_net_hdr before it. It is there as long as that is open.
func openLink(n *wire.Network) (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, proto.Errorf(proto.CodeFailed, "the guest's kernel was installed without its module tun; to add it: microagent kernel install")
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", tunDevice, err)
	}
	if err := makeLink(fd, n); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set up %s: %w", linkName, err)
	}
	return os.NewFile(uintptr(fd), tunDevice), nil // only now: a device without an interface can't be waited for
}

func makeLink(fd int, n *wire.Network) error {
	ifr, err := unix.NewIfreq(linkName)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return err
	}
	// Nothing is lost on the way to the host: what the guest sends it needs not sum up.
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM); err != nil {
		return fmt.Errorf("leave checksums out: %w", err)
	}
	ask, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(ask) }()
	ifr.SetUint32(n.GetMtu())
	if err := unix.IoctlIfreq(ask, unix.SIOCSIFMTU, ifr); err != nil {
		return fmt.Errorf("an MTU of %d: %w", n.GetMtu(), err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(ask, unix.SIOCSIFFLAGS, ifr); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(ask, unix.SIOCGIFINDEX, ifr); err != nil {
		return err
	}
	return route(ifr.Uint32(), n)
}

// route gives the interface its addresses, and its gateways the default routes. A kernel without IPv6 does without that.
func route(index uint32, n *wire.Network) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	for _, text := range n.GetAddresses() {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		if err := tellKernel(fd, unix.RTM_NEWADDR, addressMessage(index, p)); err != nil && !(p.Addr().Is6() && without(err)) {
			return fmt.Errorf("address %s: %w", text, err)
		}
	}
	for _, text := range n.GetGateways() {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		if err := tellKernel(fd, unix.RTM_NEWROUTE, routeMessage(index, a)); err != nil && !(a.Is6() && without(err)) {
			return fmt.Errorf("default route by %s: %w", text, err)
		}
	}
	return nil
}

// without says that a kernel has no such family, or has it switched off.
func without(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENODEV)
}

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// addressMessage is a struct ifaddrmsg of linux/if_addr.h and its attributes. Nobody else is on the link to have the address.
func addressMessage(index uint32, p netip.Prefix) []byte {
	m := []byte{familyOf(p.Addr()), byte(p.Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE}
	m = binary.NativeEndian.AppendUint32(m, index)
	m = attribute(m, unix.IFA_LOCAL, p.Addr().AsSlice())
	return attribute(m, unix.IFA_ADDRESS, p.Addr().AsSlice())
}

// routeMessage is a struct rtmsg of linux/rtnetlink.h and its attributes.
func routeMessage(index uint32, gateway netip.Addr) []byte {
	m := []byte{familyOf(gateway), 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
	m = attribute(m, unix.RTA_GATEWAY, gateway.AsSlice())
	return attribute(m, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, index))
}

// attribute appends a struct rtattr. All that come here have lengths of which four is a divisor.
func attribute(m []byte, kind uint16, value []byte) []byte {
	m = binary.NativeEndian.AppendUint16(m, uint16(unix.SizeofRtAttr+len(value)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	return append(m, value...)
}

// tellKernel sends a message by rtnetlink(7) and reads what became of it.
func tellKernel(fd int, kind uint16, message []byte) error {
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(message)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	m = append(m, make([]byte, 8)...) // sequence, port
	if err := unix.Sendto(fd, append(m, message...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel answered something else")
	}
	if errno := -int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}
