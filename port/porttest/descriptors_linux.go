package porttest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/proactor-go/proactor/port"
)

// descriptors lists what is open.
func descriptors() []string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	var open []string
	for _, e := range entries {
		to, _ := os.Readlink("/proc/self/fd/" + e.Name())
		open = append(open, e.Name()+" "+to)
	}
	return open
}

func descriptorLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(l.Cur)
}

// envChild says that this process is the one to run out of descriptors.
const envChild = "PROACTOR_PORTTEST_CHILD"

// Out of descriptors, an accept ends with ErrNoDescriptors; everything else
// goes on, the connections wait, and a later Accept brings them. All this in a
// process of its own, as others need descriptors too.
func acceptOutOfDescriptors(e *env) {
	if e.b.Memory {
		e.Skip("sockets in memory have no descriptors")
	}
	if os.Getenv(envChild) == "" {
		parts := strings.Split(e.Name(), "/")
		for i := range parts {
			parts[i] = "^" + parts[i] + "$"
		}
		cmd := exec.Command(os.Args[0], "-test.v", "-test.run", strings.Join(parts, "/"))
		cmd.Env = append(os.Environ(), envChild+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			e.Fatalf("%v\n%s", err, out)
		}
		return
	}
	r := e.open(port.Config{})
	old := r.pair("tcp")
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	waiting := []Peer{r.dial("tcp", l.addr), r.dial("tcp", l.addr)}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		r.Fatal(err)
	}
	limit.Cur = 200
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		r.Fatal(err)
	}
	var fill []int
	for {
		fd, err := syscall.Dup(0)
		if err != nil {
			break
		}
		fill = append(fill, fd)
	}
	defer func() {
		for _, fd := range fill {
			syscall.Close(fd)
		}
	}()
	for range 3 {
		a := r.arm(l)
		c := r.fails(a, port.ErrNoDescriptors)
		var pe *port.Error
		if !errors.As(c.Err, &pe) || !pe.Temporary() {
			r.Errorf("%v is not temporary", c.Err)
		}
		if len(a.sockets) > 0 {
			r.Fatal("a socket was accepted, though there are no descriptors")
		}
		// What needs no new descriptor goes on.
		r.chat(old, 1, 100_000)
		r.ok(r.timeout(0))
	}
	if _, err := r.p.Listen("tcp", r.address("tcp4"), port.SocketOptions{}); !errors.Is(err, port.ErrNoDescriptors) {
		r.Errorf("listen: %v, want %v", err, port.ErrNoDescriptors)
	}
	if why := exempt(r.b.Name, "AcceptOutOfDescriptors/Socket"); why != "" {
		r.Logf("exception: %s", why)
	} else {
		if _, err := r.p.Socket(l.addr, port.Addr{}, port.SocketOptions{}); !errors.Is(err, port.ErrNoDescriptors) {
			r.Errorf("socket: %v, want %v", err, port.ErrNoDescriptors)
		}
		if p, err := r.b.Open(port.Config{}); !errors.Is(err, port.ErrNoDescriptors) && !errors.Is(err, syscall.EMFILE) {
			r.Errorf("open: %v, want %v", err, port.ErrNoDescriptors)
			if err == nil {
				p.Close()
			}
		}
	}
	// One is free: one connection comes, the other still waits.
	syscall.Close(fill[len(fill)-1])
	fill = fill[:len(fill)-1]
	a := r.arm(l)
	first := &conn{peer: waiting[0]}
	first.h, first.key = r.associate(r.next(a))
	r.chat(first, 2, 1000)
	r.fails(a, port.ErrNoDescriptors)
	// The next one after a close.
	r.ok(r.close(first, false))
	a = r.arm(l)
	second := &conn{peer: waiting[1]}
	second.h, second.key = r.associate(r.next(a))
	r.chat(second, 3, 1000)
}
