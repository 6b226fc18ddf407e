package port

// io_uring first; where it is missing or forbidden (old kernels, the default
// seccomp filter of containers) epoll; std where even that fails.
var candidates = []candidate{
	{name: "uring", open: openUring, auto: true},
	{name: "epoll", open: openEpoll, auto: true},
	{name: "std", open: openStd, auto: true},
	{name: "sim", open: openSim},
}
