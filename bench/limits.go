//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tcpPressure is the second number of tcp_mem, in bytes.
func tcpPressure() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_mem")
	if f := strings.Fields(string(b)); err == nil && len(f) == 3 {
		if pages, err := strconv.Atoi(f[1]); err == nil {
			return pages * os.Getpagesize()
		}
	}
	return 1 << 30
}

// mostConns is how many connections fit: as far as descriptors go, and 32 KiB of
// free memory for each, both of its sockets and the server's buffers together.
func mostConns() int {
	fits := 10_000
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			var kib int
			if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
				fits = kib / 32
			}
		}
	}
	return min(fits, mostDescriptors()-spareDescriptors)
}

const (
	// spareDescriptors are for what is not a connection.
	spareDescriptors = 100
	// descriptorsEach is what the server that needs most has for a connection: a
	// proxy that splices has two sockets, and a pipe with two ends for each way.
	descriptorsEach = 6
)

// mostDescriptors is what raiseLimit could raise to.
func mostDescriptors() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	if mayRaise() {
		if b, err := os.ReadFile("/proc/sys/fs/nr_open"); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				return n
			}
		}
	}
	return int(l.Max)
}

// mayRaise says whether the hard limit may be raised.
func mayRaise() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // the capabilities from 32 on are in the second
	err := unix.Capget(&head, &sets[0])
	return err == nil && sets[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// raiseLimit makes room for so many connections, here and in the servers that
// are started later.
func raiseLimit(conns int) error {
	n := uint64(conns + spareDescriptors)
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Cur >= n {
		return nil
	}
	l.Cur, l.Max = n, max(l.Max, n)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("%d descriptors are needed: %w (try ulimit -n %d)", n, err, n)
	}
	return nil
}
