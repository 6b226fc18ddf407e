//go:build unix

package doctor

import "golang.org/x/sys/unix"

// files are the descriptors that this process may have: the limit, which Go has raised as far as it
// may, and that bound.
func files() (now, most int64) {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return unknown, unknown
	}
	return int64(min(uint64(l.Cur), endless)), int64(min(uint64(l.Max), endless))
}
