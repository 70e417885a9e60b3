package access

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The messages of linux/inet_diag.h: inet_diag_sockid, inet_diag_req_v2,
// inet_diag_msg.
type (
	socketID struct {
		Sport, Dport [2]byte // big-endian
		Src, Dst     [16]byte
		Interface    uint32
		Cookie       [2]uint32
	}
	diagRequest struct {
		Family, Protocol, Ext, Pad uint8
		States                     uint32
		ID                         socketID
	}
	diagReply struct {
		Family, State, Timer, Retrans       uint8
		ID                                  socketID
		Expires, Rqueue, Wqueue, UID, Inode uint32
	}
)

// socketUser returns the uid of the process that holds the TCP socket bound to
// local and connected to remote. It asks the kernel for exactly that socket:
// a dump of all of them, as libraries do it, is filtered by port alone and
// would name the owner of the same port on another loopback address.
func socketUser(local, remote netip.AddrPort) (uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, os.NewSyscallError("netlink socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, request(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("netlink send", err)
	}
	// The kernel has answered by the time it returns from the send, so
	// there is nothing to wait for.
	var buf [1024]byte
	n, from, err := unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT)
	if err != nil {
		return 0, os.NewSyscallError("netlink receive", err)
	}
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
		return 0, errors.New("netlink answer is not the kernel's")
	}
	return holder(buf[:n], local, remote)
}

// request returns the message that asks for the socket from local to remote.
func request(local, remote netip.AddrPort) []byte {
	req := diagRequest{
		Family:   unix.AF_INET,
		Protocol: unix.IPPROTO_TCP,
		States:   ^uint32(0),
		ID:       socketID{Cookie: [2]uint32{^uint32(0), ^uint32(0)}}, // any
	}
	if local.Addr().Is6() {
		req.Family = unix.AF_INET6
	}
	copy(req.ID.Src[:], local.Addr().AsSlice())
	copy(req.ID.Dst[:], remote.Addr().AsSlice())
	binary.BigEndian.PutUint16(req.ID.Sport[:], local.Port())
	binary.BigEndian.PutUint16(req.ID.Dport[:], remote.Port())

	header := unix.NlMsghdr{
		Len:   uint32(unix.NLMSG_HDRLEN + binary.Size(req)),
		Type:  unix.SOCK_DIAG_BY_FAMILY,
		Flags: unix.NLM_F_REQUEST,
	}
	var b bytes.Buffer
	binary.Write(&b, binary.NativeEndian, header)
	binary.Write(&b, binary.NativeEndian, req)
	return b.Bytes()
}

// holder reads the kernel's answer. Where the socket is gone, the kernel may
// name a listener on its port instead, or the remains of the socket, which
// have neither inode nor owner and report uid 0: neither is the client.
func holder(answer []byte, local, remote netip.AddrPort) (uint32, error) {
	msgs, err := syscall.ParseNetlinkMessage(answer)
	if err != nil || len(msgs) != 1 {
		return 0, errors.New("netlink answer is malformed")
	}
	data := msgs[0].Data
	switch {
	case msgs[0].Header.Type == unix.NLMSG_ERROR && len(data) >= 4:
		errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(data)))
		return 0, fmt.Errorf("netlink: %v", errno)
	case msgs[0].Header.Type != unix.SOCK_DIAG_BY_FAMILY:
		return 0, errors.New("netlink answer is malformed")
	}
	var r diagReply
	if _, err := binary.Decode(data, binary.NativeEndian, &r); err != nil {
		return 0, errors.New("netlink answer is malformed")
	}
	if r.end(r.ID.Src, r.ID.Sport) != local || r.end(r.ID.Dst, r.ID.Dport) != remote {
		return 0, errors.New("its socket is gone")
	}
	if r.Inode == 0 {
		return 0, errors.New("its socket is closed")
	}
	return r.UID, nil
}

// end returns one end of the socket. An IPv6 socket may hold an IPv4
// connection, with mapped addresses.
func (r *diagReply) end(addr [16]byte, port [2]byte) netip.AddrPort {
	a := netip.AddrFrom16(addr).Unmap()
	if r.Family == unix.AF_INET {
		a = netip.AddrFrom4([4]byte(addr[:4]))
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port[:]))
}
