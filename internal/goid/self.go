//go:build amd64 || arm64

package goid

import "unsafe"

// self is the calling goroutine, as the address of the runtime's record of it: that
// stays where it is while the goroutine lives. Nothing looks at what is there. An address
// in an interface takes no memory, which a number would.
func self() any { return record() }

// Self is the calling goroutine, as a number that no other has while it lives: not that of
// Current where there is a cheaper one.
func Self() uint64 { return uint64(uintptr(record())) }

// record is in assembly: no function of package runtime tells it.
func record() unsafe.Pointer
