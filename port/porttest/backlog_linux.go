package porttest

import (
	"net"
	"syscall"
)

// crowded gives the address of a plain listener that has room for hardly any
// connection and accepts none, and closes it with the test.
func (r *rig) crowded() (address string, ok bool) {
	if r.b.Memory {
		return "", false
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { syscall.Close(fd) })
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		r.Fatal(err)
	}
	a, err := syscall.Getsockname(fd)
	if err != nil {
		r.Fatal(err)
	}
	in := a.(*syscall.SockaddrInet4)
	return (&net.TCPAddr{IP: in.Addr[:], Port: in.Port}).String(), true
}
