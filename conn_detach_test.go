package proactor

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/proactor-go/proactor/port"
)

// While the socket leaves, the port still gives what it has received: bytes are handed on, and a
// reset, of which the system tells only once, is the cause.
func TestLate(t *testing.T) {
	p, err := port.Open(port.Config{Backend: "std"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	d := new(detachment)
	c := Conn{state: stateLeaving, kept: &kept{detachment: d}, shared: &shared{loop: &loop{port: p}, cfg: new(settings)}}
	for _, late := range []string{"la", "te"} {
		c.onRecv(&port.Completion{Kind: port.KindRecv, N: 2, Buf: []byte(late), More: true})
	}
	c.onRecv(&port.Completion{Kind: port.KindRecv, Err: port.ErrReset})
	if string(d.late) != "late" || !errors.Is(d.err, port.ErrReset) || c.bytesIn.Load() != 4 {
		t.Errorf("%q, %v, %d bytes counted", d.late, d.err, c.bytesIn.Load())
	}
}

// Below a tls.Conn that leaves, what the loop has received comes before what the socket has.
func TestLeaves(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		io.WriteString(theirs, "from the socket")
		theirs.Close()
	}()
	l := new(tlsLayer)
	l.below.Conn = memory{l}
	l.leave(ours, []byte("received, "))
	var all []byte
	for buf := make([]byte, 4); ; {
		n, err := l.below.Read(buf)
		if all = append(all, buf[:n]...); err != nil {
			break
		}
	}
	if string(all) != "received, from the socket" {
		t.Errorf("%q", all)
	}
}
