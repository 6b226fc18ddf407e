package port

import "testing"

// What the probe receives is no message: the kernel has as little to receive into
// as it is to have at first.
func TestUringProbe(t *testing.T) {
	p, err := Open(Config{Backend: "uring"})
	if err != nil {
		t.Skip(err)
	}
	defer p.Close()
	if b := &p.b.(*uring).bufs; b.inc && (b.length != firstLength || b.with*b.length != firstDepth) {
		t.Errorf("%d buffers, %d bytes of each at first; want %d bytes, %d in all", b.with, b.length, firstLength, firstDepth)
	}
}
