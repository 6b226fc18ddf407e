package proactor

import (
	"testing"
	"unsafe"
)

// An idle connection costs its record, so that must not grow unseen: one byte
// more than a size class costs 16.
func TestConnSize(t *testing.T) {
	if size, word := unsafe.Sizeof(Conn{}), unsafe.Sizeof(uintptr(0)); word == 8 && size > 192 {
		t.Errorf("a Conn has %d bytes", size)
	}
}
