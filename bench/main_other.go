//go:build !linux

// Command bench measures servers side by side. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: needs Linux: it pins processes and reads /proc")
	os.Exit(1)
}
