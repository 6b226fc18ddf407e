package porttest

import (
	"errors"
	"io"
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

// inChild has a process of its own run the test, and reports true there where it
// does not run: other tests need descriptors too.
func (e *env) inChild() bool {
	if os.Getenv(envChild) != "" {
		return false
	}
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
	return true
}

// useDescriptors uses up all descriptors. It gives them, for closeAll.
func (r *rig) useDescriptors() (fill []int) {
	r.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		r.Fatal(err)
	}
	limit.Cur = 200
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		r.Fatal(err)
	}
	for {
		fd, err := syscall.Dup(0)
		if err != nil {
			return fill
		}
		fill = append(fill, fd)
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}

// Out of descriptors, an accept ends with ErrNoDescriptors; everything else
// goes on, the connections wait, and a later Accept brings them. All this in a
// process of its own, as others need descriptors too.
func acceptOutOfDescriptors(e *env) {
	if e.b.Memory {
		e.Skip("sockets in memory have no descriptors")
	}
	if e.inChild() {
		return
	}
	r := e.open(port.Config{})
	old := r.pair("tcp")
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	waiting := []Peer{r.dial("tcp", l.addr), r.dial("tcp", l.addr)}
	fill := r.useDescriptors()
	defer closeAll(fill)
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
	syscall.Close(fill[0])
	fill[0] = -1
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

// Out of descriptors, a splice ends with ErrNoDescriptors when the first bytes
// come, and none is lost. One that has its pipe goes on.
func spliceOutOfDescriptors(e *env) {
	if e.b.Memory {
		e.Skip("sockets in memory have no descriptors")
	}
	if e.inChild() {
		return
	}
	r := e.open(port.Config{})
	r.spliceable()
	_, slow, held, w := r.jammed(1, 2*jam)
	from, to := r.pair("tcp"), r.pair("tcp")
	fill := r.useDescriptors()
	defer closeAll(fill)
	for i := range int64(3) {
		o := r.splice(from, to)
		r.await(r.do(func() error { return writePattern(from.peer, 2, i*100, 100, 100) }))
		c := r.fails(o, port.ErrNoDescriptors)
		r.side(o, port.KindSplice)
		var pe *port.Error
		if !errors.As(c.Err, &pe) || !pe.Temporary() {
			r.Errorf("%v is not temporary", c.Err)
		}
		in := r.stream(from)
		r.gather(in, 100)
		r.matches(in, 2, i*100)
		r.p.Cancel(&in.Op)
		r.fails(in, port.ErrCanceled)
	}
	r.await(r.do(func() error { return readPattern(slow.peer, 1, 0, 2*jam) }), w)
	r.fails(held, io.EOF)
	// Its pipe is free now.
	o := r.splice(from, to)
	r.await(r.do(func() error { return writePattern(from.peer, 3, 0, 100, 100) }),
		r.do(func() error { return readPattern(to.peer, 3, 0, 100) }))
	if !o.flying {
		r.Errorf("the splice ended: %v", o.last.Err)
	}
}
