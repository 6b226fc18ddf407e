package doctor

import (
	"errors"
	"io/fs"
)

// filtered is the mode of a process some of whose system calls a filter forbids (seccomp(2)).
const filtered = 2

// why says in plain words why a backend does not work.
func (f Facts) why(t Try) Advice {
	denied := errors.Is(t.Err, fs.ErrPermission)
	lacking := errors.Is(t.Err, errors.ErrUnsupported) // ENOSYS, too
	is := func(text, lift string) Advice {
		return Advice{t.Name + " does not work: " + text + " (" + t.Err.Error() + ")", lift}
	}
	switch {
	case t.Name != "uring":
		return is("the system refuses it", "")
	case denied && f.Disabled == 2:
		return is("io_uring is switched off on this machine, kernel.io_uring_disabled is 2", "sysctl -w kernel.io_uring_disabled=0")
	case denied && f.Disabled == 1:
		return is("io_uring is for some users only, kernel.io_uring_disabled is 1", "sysctl -w kernel.io_uring_disabled=0; or put the user into the group of kernel.io_uring_group")
	case (denied || lacking) && f.Seccomp == filtered:
		return is("a filter of system calls (seccomp) forbids io_uring, as the usual one of containers does. The next backend costs 5 to 20% more CPU time a small message",
			"allow io_uring_setup, io_uring_enter and io_uring_register: --security-opt seccomp=FILE of a container, seccompProfile of Kubernetes, SystemCallFilter=@aio of a unit")
	case denied:
		return is("something that this command cannot see refuses io_uring, such as a security module", "")
	case lacking:
		return is("this kernel has no io_uring, or one that does not suffice", "Linux 5.19 or later")
	default:
		return is("the system refuses it", "")
	}
}
