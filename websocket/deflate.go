package websocket

import (
	"cmp"
	"compress/flate"
	"sync"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
)

// deflation is what permessage-deflate was agreed to be on a connection (RFC 7692). Compressors and
// their opposites are not a connection's, because each takes much memory. So what was said last is
// kept here as it was said, and they are shown it first.
//
// What is received is for the loop.
type deflation struct {
	window  int // bytes that the peer can look back
	out     history
	in      history
	packing sync.Mutex // held while a message is compressed with out, until it is sent and a part of it
}

// history is the last bytes of the messages of one direction, without those that went as they are.
type history struct {
	most int // bytes; 0: each message is by itself
	said []byte
}

// sendContext, in bytes, is how far a compressor looks back into the messages before. It reads them
// for each message: twice as much has made messages of 200 bytes no smaller, and costs 10 µs more.
const sendContext = 2 << 10

// rsv1 marks a message that is compressed, as part of an opcode.
const rsv1 ws.OpCode = 0x40

// deflateLeast is the length, in bytes, from which on a message is compressed. What is shorter hardly
// shrinks: package flate looks for no repetitions in less.
const deflateLeast = 128

// alone is for all connections that need no memory.
var alone = &deflation{window: 1 << maxBits}

// newDeflation makes what was agreed on.
func newDeflation(a parameters, isClient bool) *deflation {
	ourBits, theirBits, ourAlone, theirAlone := a.serverBits, a.clientBits, a.serverAlone, a.clientAlone
	if isClient {
		ourBits, theirBits, ourAlone, theirAlone = theirBits, ourBits, theirAlone, ourAlone
	}
	d := &deflation{window: 1 << cmp.Or(ourBits, maxBits)}
	if !ourAlone {
		d.out.most = min(sendContext, d.window/2)
	}
	if !theirAlone {
		d.in.most = 1 << cmp.Or(theirBits, maxBits)
	}
	if ourAlone && theirAlone && d.window == alone.window {
		return alone
	}
	return d
}

// add adds a message to what was said.
func (h *history) add(p []byte) {
	if h.most == 0 {
		return
	}
	p = p[max(0, len(p)-h.most):]
	over := max(0, len(h.said)+len(p)-h.most)
	h.said = h.said[:copy(h.said, h.said[over:])]
	h.said = append(roomFor(h.said, len(p), h.most), p...)
}

// roomFor is b with a capacity for n bytes more, and at most most in all.
func roomFor(b []byte, n, most int) []byte {
	if need := len(b) + n; need > cap(b) {
		return append(make([]byte, 0, min(max(need, 2*cap(b)), most)), b...)
	}
	return b
}

// deflater compresses. It has 1.2 MB of memory, so it is a Write's for as long as that takes.
type deflater struct {
	w    *flate.Writer
	out  []byte
	mute bool // what comes is not for the peer
}

var deflaters = sync.Pool{New: newDeflater}

func newDeflater() any {
	d := new(deflater)
	d.w, _ = flate.NewWriter(d, flate.BestSpeed) // fails for levels that are none
	return d
}

// Write takes what the flate.Writer has made.
func (d *deflater) Write(p []byte) (int, error) {
	if !d.mute {
		d.out = append(d.out, p...)
	}
	return len(p), nil
}

// deflate compresses a message that follows what was said, for a peer with a window. The result is
// valid until the next call.
//
// Package flate looks back 32 KiB. What looks back less is made of pieces that have no more before them
// than the window.
func (d *deflater) deflate(p, said []byte, window int) []byte {
	d.out = d.out[:0]
	for len(p) > 0 {
		n := len(p)
		if window < 1<<maxBits {
			n = min(n, window-len(said))
		}
		d.w.Reset(d)
		if len(said) > 0 {
			d.mute = true
			d.w.Write(said)
			d.w.Flush()
			d.mute, said = false, nil
		}
		d.w.Write(p[:n])
		d.w.Flush()
		p = p[n:]
	}
	return d.out[:max(0, len(d.out)-len(flushEnd))] // 7.2.1
}

// flushEnd ends what a flate.Writer flushes, and is not sent.
const flushEnd = "\x00\x00\xff\xff"

// free gives a deflater back, but for a large result.
func (d *deflater) free() {
	if cap(d.out) > framesMost {
		d.out = nil
	}
	deflaters.Put(d)
}

// sendDeflated sends a message compressed or, where that is no shorter, as it is. Only what was sent
// compressed can be looked back to: no error leaves the peer with another context than ours.
//
// To compress takes long, so mu is not held meanwhile. With a context the messages must be compressed
// in the order in which they are sent. One that would have to wait for another goroutine's goes as it is,
// which is right at any place among those that are compressed: so no Write, and no loop, waits.
func (c *Conn) sendDeflated(op ws.OpCode, p []byte) error {
	d := c.deflation
	if d.out.most > 0 {
		if !d.packing.TryLock() {
			return c.send(op, p)
		}
		defer d.packing.Unlock()
	}
	if c.shared.closing() {
		return proactor.ErrClosed
	}
	f := deflaters.Get().(*deflater)
	defer f.free()
	packed := f.deflate(p, d.out.said, d.window)
	if len(packed) >= len(p) {
		return c.send(op, p)
	}
	err := c.send(op|rsv1, packed)
	if err == nil {
		d.out.add(p)
	}
	return err
}
