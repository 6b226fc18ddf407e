package websocket

import (
	"testing"
	"unsafe"
)

// What a WebSocket adds to an idle connection is at most 150 bytes: 96, and 48 more where it is to be
// pinged. These are sizes in which memory is allocated, and the connection's value is a pointer, which needs none.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 96 {
		t.Errorf("a Conn has %d bytes, and may have 96", n)
	}
	if n := unsafe.Sizeof(place{}); n > 48 {
		t.Errorf("its place in a line has %d bytes, and may have 48", n)
	}
}
