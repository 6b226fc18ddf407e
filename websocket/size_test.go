package websocket

import (
	"testing"
	"unsafe"
)

// What a WebSocket adds to an idle connection is at most 150 bytes. Memory is allocated in 128 and
// 144 bytes, and the connection's value is a pointer, which needs none.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 128 {
		t.Errorf("a Conn has %d bytes, and may have 128", n)
	}
}
