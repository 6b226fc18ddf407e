//go:build linux && (amd64 || arm64)

package goid

// Mark is a number that no other goroutine has while the caller lives: where the
// runtime keeps its record of it, which the assembler calls g. It takes a nanosecond;
// the number of the thread, from the system, would take a hundred and more.
func Mark() uintptr
