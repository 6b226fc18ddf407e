package port

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Orphaned reports whether a socket that belongs to no process any more listens at this
// address. A process that used io_uring leaves one behind when it is killed: its ring still
// waits for connections until the kernel has taken it down, some 10 ms later
// (io_ring_exit_work). So a Listen that failed with [ErrAddrInUse] will soon succeed.
//
// Orphaned looks at the open files of the same user's processes, or of all processes if
// it runs as root, and reports false if it cannot know. It may take milliseconds. Any
// goroutine may call it. On other systems it always reports false: they close what a process
// has before the process is gone.
func Orphaned(network, address string) bool {
	_, service, err := net.SplitHostPort(address)
	if err != nil {
		return false // a path
	}
	number, err := net.DefaultResolver.LookupPort(context.Background(), network, service)
	if err != nil {
		return false
	}
	owned := map[string]bool{} // by the name of the link in /proc/PID/fd
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		listeners(table, number, owned)
	}
	if len(owned) == 0 {
		return false
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil {
			delete(owned, to)
		}
	}
	return len(owned) > 0
}

// listeners adds those that listen at a port to a set, as far as their processes
// can be looked at. The table begins with the sockets that listen (proc(5)).
func listeners(table string, number int, to map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	const local, state, user, inode, listen = 1, 3, 7, 9, "0A"
	suffix := fmt.Sprintf(":%04X", number)
	self := os.Geteuid()
	lines := bufio.NewScanner(f)
	for lines.Scan(); lines.Scan(); { // after the heading
		col := strings.Fields(lines.Text())
		if len(col) <= inode || col[state] != listen {
			return
		}
		if uid, err := strconv.Atoi(col[user]); strings.HasSuffix(col[local], suffix) && err == nil && (self == 0 || uid == self) {
			to["socket:["+col[inode]+"]"] = true
		}
	}
}
