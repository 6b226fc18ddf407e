//go:build race && !unix

package port

import (
	"runtime"
	"unsafe"
)

// raceSent and raceCame: see race_unix.go. The marks of package net cannot be
// reached here, so only what passes between two ends of ports is seen.
func raceSent() { runtime.RaceReleaseMerge(unsafe.Pointer(&raceMark)) }

func raceCame() { runtime.RaceAcquire(unsafe.Pointer(&raceMark)) }

var raceMark int64
