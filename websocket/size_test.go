package websocket

import (
	"testing"
	"unsafe"
)

// What a WebSocket adds to an idle connection is 112 bytes: 96, and 16 for the connection's value. Where it is to be
// pinged 48 more. These are sizes in which memory is allocated.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 96 {
		t.Errorf("a Conn has %d bytes, and may have 96", n)
	}
	if n := unsafe.Sizeof(place{}); n > 48 {
		t.Errorf("its place in a line has %d bytes, and may have 48", n)
	}
}
