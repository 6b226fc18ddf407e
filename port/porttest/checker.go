package porttest

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"testing"

	"github.com/proactor-go/proactor/port"
)

// checker sees every operation that starts and every completion, and holds
// them against the contract:
//
//   - a completion is of an operation in flight, with its kind and key;
//   - each operation has one completion without More, and none after it;
//   - More is for accepts, streamed recvs and splices only;
//   - N, Buf, Socket and Err fit the kind, and an error is of a known class;
//   - nothing comes for a socket after its close, and all its operations have
//     ended before;
//   - the Op is the caller's after its final completion;
//   - buffers to be sent are not changed, buffers to be received into are
//     changed only in their first N bytes, and not after the final completion.
//
// Where several workers dequeue at once, one may look at its completions later
// than another that got its own after it. So "after" means what is certain: in
// the same batch behind, or by a Dequeue that began when the other had ended.
type checker struct {
	t testing.TB

	mu     sync.Mutex
	clock  int64 // counts observations
	ops    map[*port.Op]*op
	keys   map[port.Handle]uint64
	closed map[port.Handle]moment
	posts  map[post]int        // posted and not yet dequeued
	posted int                 // their number
	flying int                 // operations in flight
	live   map[port.Handle]int // of those, on each socket
	// several is set where several workers dequeue at once.
	several bool             // then what arrives is not kept, but for the handlers
	onPost  func(key uint64) // sees the posts in their order; may be nil
	past    [][]byte         // buffers of plain recvs that ended: they must stay as they are
}

// op is an operation and what became of it.
type op struct {
	port.Op
	kind    port.Kind
	h       port.Handle
	key     uint64
	many    bool        // may complete with More
	flying  bool        // started, and its final completion was not seen
	buf     []byte      // of a plain recv
	sent    [][]byte    // of a send
	sum     uint32      // checksum of sent
	size    int         // bytes of a send
	part    bool        // it may be done in part
	to      port.Handle // of a splice
	moved   int64       // bytes that it handed over
	last    port.Completion
	ended   moment
	finals  int
	count   int           // completions with More
	data    []byte        // what recvs brought, in all
	sockets []port.Socket // what an accept brought
}

// moment is when something was observed: the time, and the batch it was in.
type moment struct{ at, batch int64 }

type post struct {
	key uint64
	op  *port.Op
}

func newChecker(t testing.TB) *checker {
	return &checker{t: t, ops: map[*port.Op]*op{}, keys: map[port.Handle]uint64{}, closed: map[port.Handle]moment{}, posts: map[post]int{}, live: map[port.Handle]int{}}
}

// Bytes that a recv's buffer is filled with before and after.
const (
	poisonBefore = 0xdb
	poisonAfter  = 0xbd
)

// start notes an operation that is about to be started by call, and takes the
// note back when the port refuses it.
func (k *checker) start(o *op, call func(*port.Op) error) error {
	k.mu.Lock()
	if o.flying {
		panic("porttest: the test starts an operation twice")
	}
	o.flying = true
	k.flying++
	k.live[o.h]++
	k.live[o.to]++
	k.ops[&o.Op] = o
	fill(o.buf, poisonBefore)
	o.size, o.sum = 0, 0
	for _, b := range o.sent {
		o.size += len(b)
		o.sum = crc32.Update(o.sum, crc32.IEEETable, b)
	}
	k.mu.Unlock()
	err := call(&o.Op)
	if err != nil {
		k.mu.Lock()
		o.flying = false
		k.flying--
		k.live[o.h]--
		k.live[o.to]--
		k.mu.Unlock()
		if o.InFlight() {
			k.t.Errorf("%v was refused (%v), but its Op is in flight", o.kind, err)
		}
	}
	return err
}

func fill(p []byte, b byte) {
	copy(p, []byte{b})
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}

func (k *checker) post(key uint64, op *port.Op) {
	k.mu.Lock()
	k.posts[post{key, op}]++
	k.posted++
	k.mu.Unlock()
}

// begin gives the time before a Dequeue.
func (k *checker) begin() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock++
	return k.clock
}

// observe takes a batch of completions. since is what begin gave before the
// Dequeue that brought it.
func (k *checker) observe(since int64, batch []port.Completion) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock++
	now := moment{k.clock, k.clock}
	for i := range batch {
		c := &batch[i]
		k.clock++
		now.at = k.clock
		if err := k.see(since, now, c); err != nil {
			k.t.Errorf("%v completion (key %#x, N %d, More %v, Err %v): %v", c.Kind, c.Key, c.N, c.More, c.Err, err)
		}
	}
}

// before reports whether something dequeued since then surely came after m, if m ever was.
func (m moment) before(since int64, now moment) bool {
	return m.at != 0 && (m.at < since || m.batch == now.batch)
}

func (k *checker) see(since int64, now moment, c *port.Completion) error {
	if c.Kind == port.KindPost {
		return k.seePost(c)
	}
	o := k.ops[c.Op]
	switch {
	case c.Op == nil:
		return errors.New("it has no Op")
	case o == nil:
		return errors.New("its operation was never started")
	case o.finals == 0 && !o.flying:
		return errors.New("its operation was refused")
	case !o.flying && (!c.More || o.ended.before(since, now)):
		return errors.New("it comes after the final completion of its operation")
	case c.Kind != o.kind:
		return fmt.Errorf("want kind %v", o.kind)
	case c.Key != o.key:
		return fmt.Errorf("want key %#x", o.key)
	case o.kind != port.KindTimeout && (k.closed[o.h].before(since, now) || k.closed[o.to].before(since, now)):
		return errors.New("it comes after the close of its socket")
	case c.More && !o.many:
		return errors.New("more is set on an operation that completes once")
	}
	if c.More {
		o.count++
	} else {
		o.finals++
		o.flying, o.last, o.ended = false, *c, now
		k.flying--
		k.live[o.h]--
		k.live[o.to]--
		if o.InFlight() {
			return errors.New("the Op is still in flight after its final completion")
		}
	}
	if err := knownError(c); err != nil {
		return err
	}
	if c.Socket != 0 && c.Kind != port.KindAccept && c.Kind != port.KindDetach {
		return errors.New("it has a Socket")
	}
	if c.Buf != nil && !(c.Kind == port.KindRecv && c.More || c.Kind == port.KindSplice && errors.Is(c.Err, port.ErrCanceled)) {
		return errors.New("buf is set on what is no streamed recv, and no splice that was canceled")
	}
	switch c.Kind {
	case port.KindAccept:
		return k.seeAccept(o, c)
	case port.KindRecv:
		return k.seeRecv(o, c)
	case port.KindSend:
		return k.seeSend(o, c)
	case port.KindSplice:
		return k.seeSplice(o, c)
	case port.KindDetach:
		if c.More || (c.Err == nil) == (c.Socket == port.NoSocket) {
			return errors.New("it has a Socket and an error, or neither")
		}
		if !k.several && c.Err == nil {
			o.sockets = append(o.sockets, c.Socket)
		}
		fallthrough
	case port.KindClose:
		k.closed[o.h] = now
		if n := k.live[o.h]; n > 0 && !k.several {
			return fmt.Errorf("%d operations of that socket are still in flight", n)
		}
	}
	if c.N != 0 {
		return errors.New("n is set")
	}
	return nil
}

func (k *checker) seePost(c *port.Completion) error {
	p := post{c.Key, c.Op}
	if k.posts[p] == 0 {
		return errors.New("nobody posted it, or it came twice")
	}
	k.posts[p]--
	k.posted--
	if k.onPost != nil {
		k.onPost(c.Key)
	}
	if c.N != 0 || c.Err != nil || c.More || c.Buf != nil || c.Socket != 0 {
		return errors.New("it carries more than was posted")
	}
	return nil
}

func (k *checker) seeAccept(o *op, c *port.Completion) error {
	switch {
	case c.N != 0:
		return errors.New("n is set")
	case c.More && (c.Err != nil || c.Socket == port.NoSocket):
		return errors.New("more is set, but there is no socket")
	case !c.More && c.Err == nil:
		return errors.New("the accept ended without a reason")
	case c.More && !k.several:
		o.sockets = append(o.sockets, c.Socket)
	}
	return nil
}

func (k *checker) seeRecv(o *op, c *port.Completion) error {
	if o.many {
		switch {
		case c.More && (c.N <= 0 || len(c.Buf) != c.N || c.Err != nil):
			return fmt.Errorf("n = %d, but len(Buf) = %d", c.N, len(c.Buf))
		case !c.More && (c.N != 0 || c.Err == nil):
			return errors.New("the stream ended without a reason, or with bytes")
		}
		if !k.several {
			o.data = append(o.data, c.Buf...)
		}
		return nil
	}
	if c.N < 0 || c.N > len(o.buf) || (c.N > 0) != (c.Err == nil) {
		return fmt.Errorf("n = %d into a buffer of %d bytes", c.N, len(o.buf))
	}
	o.data = append(o.data, o.buf[:c.N]...)
	if !allBytes(o.buf[c.N:], poisonBefore) {
		return errors.New("the buffer was written beyond the bytes received")
	}
	fill(o.buf, poisonAfter)
	if !k.several {
		k.past = append(k.past, o.buf)
	}
	return nil
}

func (k *checker) seeSend(o *op, c *port.Completion) error {
	sum := uint32(0)
	for _, b := range o.sent {
		sum = crc32.Update(sum, crc32.IEEETable, b)
		// From here on they are the caller's: what is still to go out must not
		// depend on them.
		fill(b, poisonAfter)
	}
	switch {
	case sum != o.sum:
		return errors.New("the buffers that were sent have changed")
	case c.Err == nil && c.N != o.size && !o.part:
		return fmt.Errorf("n = %d of %d bytes without an error", c.N, o.size)
	case c.N < 0 || c.N > o.size || c.Err != nil && c.N == o.size:
		return fmt.Errorf("n = %d of %d bytes, error %v", c.N, o.size, c.Err)
	}
	o.sent = nil
	return nil
}

func (k *checker) seeSplice(o *op, c *port.Completion) error {
	switch {
	case c.More && (c.N <= 0 || c.Err != nil):
		return fmt.Errorf("n = %d with More", c.N)
	case !c.More && c.Err == nil:
		return errors.New("the splice ended without a reason")
	case c.N < 0 || len(c.Buf) > port.SpliceMost:
		return fmt.Errorf("n = %d, %d bytes not handed over", c.N, len(c.Buf))
	}
	o.moved += int64(c.N)
	return nil
}

// settled checks at the end what can change behind the caller's back.
func (k *checker) settled() {
	for _, b := range k.past {
		if !allBytes(b, poisonAfter) {
			k.t.Errorf("a recv's buffer was written after its final completion")
		}
	}
}

func allBytes(p []byte, b byte) bool { return bytes.Count(p, []byte{b}) == len(p) }

var classes = []error{port.ErrReset, port.ErrRefused, port.ErrTimeout, port.ErrUnreachable, port.ErrCanceled,
	port.ErrAddrInUse, port.ErrAddrNotAvail, port.ErrPermission, port.ErrNoDescriptors, port.ErrNoMemory,
	port.ErrNoBuffers, port.ErrUnsupported, port.ErrOther}

// knownError checks clause 5: a class that every system has, and the kind.
func knownError(c *port.Completion) error {
	if c.Err == nil || c.Err == io.EOF && (c.Kind == port.KindRecv || c.Kind == port.KindSplice) {
		return nil
	}
	e, ok := c.Err.(*port.Error)
	if !ok {
		return fmt.Errorf("the error is a %T, not a *port.Error", c.Err)
	}
	if e.Kind != c.Kind && !(c.Kind == port.KindSplice && (e.Kind == port.KindRecv || e.Kind == port.KindSend)) {
		return fmt.Errorf("the error says it is of a %v", e.Kind)
	}
	for _, class := range classes {
		if e.Class == class {
			if class == port.ErrOther {
				return errors.New("the error has no class")
			}
			return nil
		}
	}
	return fmt.Errorf("the error's class %v is unknown", e.Class)
}
