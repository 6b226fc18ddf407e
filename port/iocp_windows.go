package port

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/windows"
)

// iocp carries operations out with overlapped calls on a completion port of
// the system. Plain recvs, sends, connects and accepts are one overlapped call
// each, or several after one another. A streamed recv waits with a recv of no
// bytes, which holds no buffer, and then receives without blocking into a
// buffer of the pool.
//
// A call that succeeds at once posts no packet where the system allows that
// (FILE_SKIP_COMPLETION_PORT_ON_SUCCESS); its operation then goes on, or ends,
// right away or in the next poll.
type iocp struct {
	p      *Port
	port   windows.Handle
	slots  iocpSlots
	lender lender
	skip   bool
	spare  []*acceptors // of listeners that were closed

	packets []iocpPacket // fetched; those up to head were dealt with
	head    int
	todo    queue[Handle] // sockets with something to do that no packet will tell of
	starved queue[Handle] // streamed recvs that found all buffers lent
	odd     bool          // whether this poll is an odd one
	woken   bool          // Exclusive: a poll met the packet of a wake

	dst []Completion // while poll runs: where completions go, n of them so far
	n   int

	bufs  [sendBufs]windows.WSABuf // arguments of calls that outlive no call
	count uint32
	flags uint32

	handover sync.Mutex   // Shared: guards handed
	handed   []iocpPacket // what block fetched
}

// packetCount is how many packets are fetched by one call.
const packetCount = 128

// openPorts are kept from the garbage collector: the kernel writes to their
// memory although the program may have forgotten them.
var openPorts struct {
	sync.Mutex
	ports map[*iocp]struct{}
}

func openIOCP(p *Port) (backend, error) {
	if err := startWinsock(); err != nil {
		return nil, err
	}
	// No limit of running threads: the system counts each thread that fetched
	// as running for the port, also when it runs other goroutines since.
	h, err := windows.CreateIoCompletionPort(windows.InvalidHandle, 0, 0, 1<<32-1)
	if err != nil {
		return nil, os.NewSyscallError("createiocompletionport", err)
	}
	b := &iocp{p: p, port: h, lender: newLender(p.cfg.buffers(DefaultBufferSize)), skip: winsock.skip}
	b.packets = make([]iocpPacket, 0, packetCount)
	p.detail = fmt.Sprintf("skip completion port on success %v", b.skip)
	openPorts.Lock()
	if openPorts.ports == nil {
		openPorts.ports = make(map[*iocp]struct{})
	}
	openPorts.ports[b] = struct{}{}
	openPorts.Unlock()
	return b, nil
}

func (b *iocp) destroy() {
	windows.CloseHandle(b.port)
	b.slots.free()
	for _, a := range b.spare {
		a.free()
	}
	b.spare = nil
	openPorts.Lock()
	delete(openPorts.ports, b)
	openPorts.Unlock()
}

// emit hands a completion over: to poll, or to the next Dequeue. Only poll may
// emit completions that are not final, or the next one might overtake them.
func (b *iocp) emit(c Completion) {
	if b.n < len(b.dst) {
		b.dst[b.n] = c
		b.n++
		return
	}
	b.p.complete(c)
}

// full reports whether poll has no room for another completion.
func (b *iocp) full() bool { return b.dst != nil && b.n == len(b.dst) }

func (b *iocp) poll(dst []Completion) int {
	if len(dst) == 0 {
		return 0
	}
	b.dst, b.n = dst, 0
	// Half of the room for packets if sockets wait for their turn.
	limit := len(dst)
	b.odd = !b.odd
	if b.todo.len() > 0 || b.fed() {
		if limit /= 2; b.odd {
			limit = (len(dst) + 1) / 2
		}
	}
	b.reap(dst[:limit])
	b.turns()
	n := b.n
	b.dst, b.n = nil, 0
	if b.p.cfg.Mode == Shared && b.busy() {
		b.p.stir() // this worker goes off with what it has
	}
	return n
}

// busy reports whether poll has something to do without a further packet.
func (b *iocp) busy() bool { return b.head < len(b.packets) || b.todo.len() > 0 || b.fed() }

// fed reports whether a streamed recv that starved can get a buffer now.
func (b *iocp) fed() bool { return b.starved.len() > 0 && b.lender.room() != nil }

// enqueue gives the socket a turn in the next poll.
func (b *iocp) enqueue(s *sock) {
	if s.flags&sockQueued == 0 {
		s.flags |= sockQueued
		b.todo.push(s.handle())
	}
}

// turns gives those who starved, and then each socket that stands in line, a
// turn. A socket that has more to do goes to the end of the line, and those
// that joined it meanwhile wait for the next poll.
func (b *iocp) turns() {
	for b.fed() && !b.full() {
		if s := b.p.socks.get(b.starved.pop()); s != nil && s.in != nil && s.in.flags&opStarved != 0 {
			s.in.flags &^= opStarved
			b.stream(s, s.in)
		}
	}
	for turns := b.todo.len(); turns > 0 && !b.full(); turns-- {
		if s := b.p.socks.get(b.todo.pop()); s != nil {
			s.flags &^= sockQueued
			b.turn(s)
		}
	}
}

// turn goes on with the operations of a socket that the kernel has no request
// for: a send that had its share, a recv whose bytes are there.
func (b *iocp) turn(s *sock) {
	h := s.handle()
	if op := s.out; op != nil && op.flags&opArmed == 0 {
		b.send(s, op)
		if s = b.p.socks.get(h); s == nil {
			return
		}
		if b.full() {
			b.enqueue(s)
			return
		}
	}
	op := s.in
	if op == nil {
		return
	}
	switch t := b.slots.at(s.index); {
	case op.kind == KindAccept:
		b.acceptTurn(s, t.accepts, op)
	case op.flags&(opArmed|opStarved) != 0:
	case op.flags&opStream != 0:
		b.stream(s, op)
	default:
		b.received(s, t, op, int(t.got), 0)
	}
}

// flush tells the worker that blocks of what there is to do.
func (b *iocp) flush() {
	if b.busy() {
		b.p.stir()
	}
}

func (b *iocp) block(d time.Duration) {
	if b.p.cfg.Mode == Shared {
		// One packet for the one worker that waits. Others poll meanwhile.
		var one [1]iocpPacket
		if b.fetch(one[:], d) == 1 && one[0].key != wakeKey {
			b.handover.Lock()
			b.handed = append(b.handed, one[0])
			b.handover.Unlock()
		}
		return
	}
	if b.woken || b.busy() {
		b.woken = false
		return
	}
	got := b.fetch(b.packets[:cap(b.packets)], d)
	b.packets, b.head = b.packets[:0], 0
	for _, e := range b.packets[:got] {
		if e.key != wakeKey {
			b.packets = append(b.packets, e)
		}
	}
}

// keepWake is called when a poll met the packet of a wake: it is meant for
// block.
func (b *iocp) keepWake() {
	if b.p.cfg.Mode == Shared {
		b.wake() // may be for a worker that blocks now
	} else {
		b.woken = true
	}
}

func (b *iocp) cancel(s *sock, op *Op) {
	t := b.slots.at(s.index)
	switch {
	case op.kind == KindAccept:
		b.cancelAccept(s, op)
	case op.flags&opArmed != 0 && s.isClosing():
		b.hangUp(s)
	case op.flags&opArmed != 0 && s.in == op:
		cancelIo(s, &t.ov.in)
	case op.flags&opArmed != 0:
		cancelIo(s, &t.ov.out)
	case op.kind == KindRecv && op.flags&opStream == 0:
		// Its bytes are there, the next poll tells.
	default:
		b.p.fail(s, op, canceled(op.kind))
	}
}

// noSystem is the number of a socket that is closed before its port says so.
const noSystem = ^uint32(0)

// hangUp closes the handle of a socket already while its operations are
// outstanding, which ends them for certain. Wine forgets a CancelIoEx that comes
// while another thread carries the operation on.
func (b *iocp) hangUp(s *sock) {
	if s.sys == noSystem {
		return // by the other direction's cancel
	}
	cancelIo(s, nil)
	if closeSocket(windows.Handle(s.sys), s.flags&sockReset != 0) == nil {
		s.sys = noSystem
	}
}

func (b *iocp) attach(s *sock, sk Socket) error {
	if err := b.slots.grow(s.index); err != nil {
		return err
	}
	h := windows.Handle(sk)
	if _, err := windows.CreateIoCompletionPort(h, b.port, uintptr(s.index)+1, 0); err != nil {
		return os.NewSyscallError("createiocompletionport", err)
	}
	t := b.slots.at(s.index)
	t.skip = b.skip && windows.SetFileCompletionNotificationModes(h, windows.FILE_SKIP_COMPLETION_PORT_ON_SUCCESS|windows.FILE_SKIP_SET_EVENT_ON_HANDLE) == nil
	s.sys = uint32(sk)
	if s.flags&sockListener != 0 {
		return b.attachListener(t, sk)
	}
	// Overlapped calls do not mind; the recv of a stream must not block.
	return setNonblock(h, true)
}

func (b *iocp) attachListener(t *iocpSlot, sk Socket) error {
	if n := len(b.spare); n > 0 {
		t.accepts, b.spare = b.spare[n-1], b.spare[:n-1]
	} else {
		a, err := newAcceptors()
		if err != nil {
			return err
		}
		t.accepts = a
	}
	if info, ok := listeners.LoadAndDelete(sk); ok {
		t.accepts.info = info.(listenerInfo)
	}
	return nil
}

func (b *iocp) close(s *sock, reset bool) error {
	t := b.slots.at(s.index)
	if t.accepts != nil {
		b.spare = append(b.spare, t.accepts)
		t.accepts = nil
	}
	if s.sys == noSystem {
		return nil // see hangUp
	}
	return closeSocket(windows.Handle(s.sys), reset)
}

func (b *iocp) shutdown(s *sock) error {
	return os.NewSyscallError("shutdown", windows.Shutdown(windows.Handle(s.sys), windows.SHUT_WR))
}

func (b *iocp) release(lease uint32) { b.lender.release(lease) }
func (b *iocp) leased() int          { return b.lender.out }

func (b *iocp) listen(a Addr, o SocketOptions) (Socket, error)     { return listenSocket(a, o) }
func (b *iocp) socket(local Addr, o SocketOptions) (Socket, error) { return connectSocket(local, o) }
func (b *iocp) discard(s Socket)                                   { discardSocket(s) }
func (b *iocp) localAddr(s *sock) (Addr, error)                    { return localAddr(windows.Handle(s.sys)) }
func (b *iocp) acked(*sock) int64                                  { return 0 }
func (b *iocp) remoteAddr(s *sock) (Addr, error)                   { return remoteAddr(windows.Handle(s.sys)) }
