package port

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/windows"
)

// iocp carries operations out with overlapped calls on a completion port of
// the system. A recv waits with a WSARecv of no bytes, which holds no buffer, and
// then receives without blocking. Sends, connects and accepts are one overlapped
// call each, or several after one another.
//
// What the kernel has for a recv or an accept outlives a cancel: it stands, and the
// next recv or accept takes up what it brings. So nothing depends on the system's
// cancel but the end of a send or a connect; and not even a close, which closes the
// handle when the cancel does not help.
//
// A call that succeeds at once posts no packet where the system allows that
// (FILE_SKIP_COMPLETION_PORT_ON_SUCCESS); its operation then goes on, or ends,
// right away or in the next poll.
type iocp struct {
	p      *Port
	sys    iocpSystem
	port   windows.Handle
	slots  iocpSlots
	lender lender
	spare  []*acceptors // of listeners that were closed

	packets []iocpPacket // fetched; those up to head were dealt with
	head    int
	todo    queue[Handle] // sockets with something to do that no packet will tell of
	starved queue[Handle] // streamed recvs that found all buffers lent
	odd     bool          // whether this poll is an odd one
	woken   bool          // Exclusive: a poll met the packet of a wake
	owed    owedWake
	timer   fineTimer     // of block
	asked   queue[Handle] // sockets of which something was canceled and has not ended
	asking  atomic.Int32  // how many these are, for block
	hasten  int64         // when to look after them
	elder   int           // how many of them were asked for long enough ago then

	dst []Completion // while poll runs: where completions go, n of them so far
	n   int

	call  overlappedCall           // the one that is being made
	bufs  [sendBufs]windows.WSABuf // its buffers
	flags uint32

	handover sync.Mutex   // Shared: guards handed
	handed   []iocpPacket // what block fetched
	handing  atomic.Bool  // Shared: block may have fetched what is not in handed yet
}

// packetCount is how many packets are fetched by one call.
const packetCount = 128

// openPorts are kept from the garbage collector: the kernel writes to their
// memory although the program may have forgotten them.
var openPorts struct {
	sync.Mutex
	ports map[*iocp]struct{}
}

func openIOCP(p *Port) (backend, error) { return openIOCPWith(p, windowsSystem()) }

func openIOCPWith(p *Port, sys iocpSystem) (backend, error) {
	if err := startWinsock(); err != nil {
		return nil, err
	}
	// No limit of running threads: the system counts each thread that fetched
	// as running for the port, also when it runs other goroutines since.
	h, err := windows.CreateIoCompletionPort(windows.InvalidHandle, 0, 0, 1<<32-1)
	if err != nil {
		return nil, os.NewSyscallError("createiocompletionport", err)
	}
	b := &iocp{p: p, sys: sys, port: h, lender: newLender(p.cfg.buffers(DefaultBufferSize)), timer: newFineTimer()}
	b.packets = make([]iocpPacket, 0, packetCount)
	p.detail = fmt.Sprintf("layered providers %v, fine timer %v", winsock.layered, b.timer.timer != 0)
	openPorts.Lock()
	if openPorts.ports == nil {
		openPorts.ports = make(map[*iocp]struct{})
	}
	openPorts.ports[b] = struct{}{}
	openPorts.Unlock()
	return b, nil
}

func (b *iocp) destroy() {
	b.timer.close()
	b.owed.end(b.port)
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
	if b.todo.len() > 0 || b.canFeed() {
		if limit /= 2; b.odd {
			limit = (len(dst) + 1) / 2
		}
	}
	left := b.head < len(b.packets)
	b.reap(dst[:limit])
	if b.asking.Load() > 0 {
		b.hurry()
	}
	b.turns()
	if b.n == 0 && left {
		// The packets that block has left ended no operation. More may have come since, and
		// a caller who hears that there is nothing lets timeouts pass.
		b.reap(dst[:limit])
		b.turns()
	}
	n := b.n
	b.dst, b.n = nil, 0
	if b.p.cfg.Mode == Shared && b.busy() {
		b.p.stir() // this worker goes off with what it has
	}
	return n
}

// busy reports whether poll has something to do without a further packet.
func (b *iocp) busy() bool { return b.head < len(b.packets) || b.todo.len() > 0 || b.canFeed() }

// canFeed reports whether a streamed recv that starved can get a buffer now.
func (b *iocp) canFeed() bool { return b.starved.len() > 0 && b.lender.room() != nil }

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
	for b.canFeed() && !b.full() {
		if s := b.p.socks.get(b.starved.pop()); s != nil && s.in != nil && s.in.flags&opStarved != 0 {
			s.in.flags &^= opStarved
			b.receive(s, b.slots.at(s.index), s.in)
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
	switch op, t := s.in, b.slots.at(s.index); {
	case op == nil:
	case op.kind == KindAccept:
		b.acceptTurn(s, t.accepts, op)
	case t.flags&slotHeard != 0 && op.flags&opStarved == 0:
		b.receive(s, t, op)
	}
}

// flush tells the worker that blocks of what there is to do.
func (b *iocp) flush() {
	if b.busy() {
		b.p.stir()
	}
}

func (b *iocp) block(d time.Duration) {
	if b.asking.Load() > 0 && (d < 0 || d > cancelPatience) {
		d = cancelPatience
	}
	if b.p.cfg.Mode == Shared {
		// One packet for the one worker that waits. Others poll meanwhile.
		var one [1]iocpPacket
		b.handing.Store(true)
		if b.timer.fetch(&b.sys, b.port, one[:], d) == 1 && !one[0].empty() {
			b.handover.Lock()
			b.handed = append(b.handed, one[0])
			b.handover.Unlock()
		}
		b.handing.Store(false)
		return
	}
	if b.woken || b.busy() {
		b.woken = false
		return
	}
	got := b.timer.fetch(&b.sys, b.port, b.packets[:cap(b.packets)], d)
	b.packets, b.head = b.packets[:0], 0
	for _, e := range b.packets[:got] {
		if !e.empty() {
			b.packets = append(b.packets, e)
		}
	}
}

func (b *iocp) attach(s *sock, sk Socket) error {
	if err := b.slots.grow(s.index); err != nil {
		return err
	}
	t := b.slots.at(s.index)
	t.flags, t.made = 0, nil
	if m, ok := made.LoadAndDelete(sk); ok {
		t.made = m.(*socketInfo)
	}
	if err := b.adopt(s, t, windows.Handle(sk)); err != nil {
		return err
	}
	if t.made != nil && t.made.peer != (Addr{}) {
		if _, err := remoteAddr(windows.Handle(sk)); err == nil {
			t.made = nil // the system keeps it as well
		}
	}
	if s.flags&sockListener != 0 {
		return b.attachListener(t)
	}
	return nil
}

// adopt ties a handle of the system to the socket.
func (b *iocp) adopt(s *sock, t *iocpSlot, h windows.Handle) error {
	if _, err := windows.CreateIoCompletionPort(h, b.port, uintptr(s.index)+1, 0); err != nil {
		return associateError(os.NewSyscallError("createiocompletionport", err))
	}
	t.flags &^= slotSkip
	if b.sys.skip(h) {
		t.flags |= slotSkip
	}
	s.sys = uint32(h)
	if s.flags&sockListener != 0 {
		return nil
	}
	// Overlapped calls do not mind; the recv must not block.
	return setNonblock(h, true)
}

func (b *iocp) attachListener(t *iocpSlot) error {
	extend, err := extensionsOf(family(t.made.local))
	if err != nil {
		return err
	}
	if n := len(b.spare); n > 0 {
		t.accepts, b.spare = b.spare[n-1], b.spare[:n-1]
	} else if t.accepts, err = newAcceptors(); err != nil {
		return err
	}
	t.accepts.made, t.accepts.extend, t.made = t.made, extend, nil
	return nil
}

func (b *iocp) shutdown(s *sock) error {
	return os.NewSyscallError("shutdown", windows.Shutdown(windows.Handle(s.sys), windows.SHUT_WR))
}

func (b *iocp) release(lease uint32) { b.lender.release(lease) }
func (b *iocp) leased() int          { return b.lender.out }

func (b *iocp) listen(a Addr, o SocketOptions) (Socket, error)     { return listenSocket(a, o) }
func (b *iocp) socket(local Addr, o SocketOptions) (Socket, error) { return connectSocket(local, o) }
func (b *iocp) inherit(f *os.File, o SocketOptions) (Socket, bool, error) {
	return adoptSocket(f, o)
}
func (b *iocp) discard(s Socket)                { discardSocket(s) }
func (b *iocp) localAddr(s *sock) (Addr, error) { return localAddr(windows.Handle(s.sys)) }
func (b *iocp) acked(s *sock) int64             { return ackedBytes(windows.Handle(s.sys)) }

func (b *iocp) peerAddr(s Socket) (Addr, error) {
	if m, ok := made.Load(s); ok {
		return m.(*socketInfo).peer, nil
	}
	return remoteAddr(windows.Handle(s))
}

func (b *iocp) remoteAddr(s *sock) (Addr, error) {
	if m := b.slots.at(s.index).made; m != nil && m.peer != (Addr{}) {
		return m.peer, nil
	}
	return remoteAddr(windows.Handle(s.sys))
}
