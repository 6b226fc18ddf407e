package proactor

import (
	"errors"
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
	d := &detachment{received: []byte("kept, ")}
	c := Conn{state: stateLeaving, kept: &kept{detachment: d}, shared: &shared{loop: &loop{port: p}, cfg: new(settings)}}
	for _, late := range []string{"la", "te"} {
		c.onRecv(&port.Completion{Kind: port.KindRecv, N: 2, Buf: []byte(late), More: true})
	}
	c.onRecv(&port.Completion{Kind: port.KindRecv, Err: port.ErrReset})
	if string(d.received) != "kept, late" || !errors.Is(d.err, port.ErrReset) || c.bytesIn.Load() != 4 {
		t.Errorf("%q, %v, %d bytes counted", d.received, d.err, c.bytesIn.Load())
	}
}
