package port

import (
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// setsMode: a listener's file can have a mode from the moment it is there.
const setsMode = true

// presetMode has the bind of a Unix socket make its file with the mode, less what
// the umask takes away: unix_bind_bsd of the kernel gives the file the mode of the
// socket's own inode. So there is no moment at which more is allowed than was
// asked for. What the umask took comes by widen.
func presetMode(fd int, mode fs.FileMode) error {
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, uint32(mode)))
}

// widen gives the file the whole mode. A name could lead elsewhere by now, so it
// goes by a descriptor that is known to be of the same file; Linux has no fchmod
// for one of O_PATH, but follows its link in /proc.
func widen(f socketFile, mode fs.FileMode) error {
	fd, err := unix.Open(f.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	file := os.NewFile(uintptr(fd), f.path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, f.info) {
		return os.ErrNotExist
	}
	return os.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}
