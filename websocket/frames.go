package websocket

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
)

// decoder cuts a stream into messages, and is how far it has read. The bytes of a message that is not
// complete are kept by the framework, in its books, and shown again with more:
//
//	lead │ have: payload, unmasked and checked │ hole │ what was not looked at
//
// The lead is the header of the first frame. The payload of a later frame is moved to the end of
// what is there, over the hole, which grows by its header; so does a control frame that came
// between two. So each byte is unmasked and checked once, and moved at most once, but see reclaim.
// While a message has begun the lead is not empty, so there is something to keep.
type decoder struct {
	most  uint32  // bytes that a message may have
	hole  uint32  // bytes
	have  uint32  // bytes
	todo  uint32  // bytes of the payload of the present frame that have not come
	mask  [4]byte // of the present frame, beginning with the byte for the next one
	lead  uint8
	open  uint8 // bytes at the end of have that may be the beginning of a character
	op    ws.OpCode
	flags decoderFlags
}

type decoderFlags uint8

const (
	client   decoderFlags = 1 << iota // what is read is a server's, and not masked
	deflates                          // messages may be compressed
	stopping                          // the server shuts down
	stopped                           // and a message has ended: another one is not waited for
	lasting               = client | deflates | stopping | stopped

	begun      decoderFlags = 1 << (iota - 1) // a message has: op is its type
	inFrame                                   // todo and mask are of a frame whose header was read
	final                                     // that is the last one of the message
	compressed                                // the message is, and not checked
)

// message is one that is whole, or none, where t is 0.
type message struct {
	t    Type
	p    []byte
	lead uint8 // bytes before p that are its as well

	compressed bool
	goesOn     bool // p is a part of it, and not the last one
}

// header reads the header that b begins with; n: its bytes, 0 if they are not all there.
func header(b []byte) (h ws.Header, n int, err error) {
	if len(b) < ws.MinHeaderSize {
		return h, 0, nil
	}
	n = ws.MinHeaderSize
	h.Fin, h.Rsv, h.OpCode = b[0]&0x80 != 0, b[0]>>4&7, ws.OpCode(b[0]&0xf)
	h.Masked, h.Length = b[1]&0x80 != 0, int64(b[1]&0x7f)
	switch h.Length {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	at := n
	if h.Masked {
		n += len(h.Mask)
	}
	if len(b) < n {
		if h.OpCode.IsReserved() || h.OpCode.IsControl() && h.Length > ws.MaxControlFramePayloadSize {
			return h, n, nil // is refused whatever follows
		}
		return h, 0, nil
	}
	switch at {
	case 4:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		if h.Length < 126 {
			err = errLength
		}
	case 10:
		h.Length = int64(binary.BigEndian.Uint64(b[2:]))
		if h.Length>>16 <= 0 { // negative, too
			err = errLength
		}
	}
	if h.Masked {
		copy(h.Mask[:], b[at:])
	}
	return h, n, err
}

// messageMost is how much of MaxMessage is for a payload. 2 GiB fit into decoder.most.
func messageMost(n int) uint32 { return uint32(min(n-min(headersMost, n/2), math.MaxInt32)) }

// headersMost, in bytes, is what the rest of MaxMessage is at most.
const headersMost = 1 << 10

// next cuts one message off data, which begins with what it has left before, and calls control with
// each control frame before its end. advance without a message: so much was read that is over, and
// there may be more. An error ends the stream; it may be one of control.
func (d *decoder) next(data []byte, control func(op ws.OpCode, p []byte) error) (advance int, m message, err error) {
	for {
		at := int(d.lead) + int(d.have) + int(d.hole)
		rest := data[at:]
		if d.flags&inFrame != 0 {
			if err := d.payload(data, rest); err != nil {
				return 0, m, err
			}
			if d.todo > 0 {
				return d.reclaim(data), m, nil
			}
			d.flags &^= inFrame
			if d.flags&final == 0 {
				continue
			}
			return d.whole(data)
		}
		h, n, p, err := d.head(rest)
		switch {
		case err != nil:
			return 0, m, err
		case n == 0:
			return d.reclaim(data), m, nil
		case h.OpCode.IsControl():
			n += len(p)
			if d.flags&begun == 0 {
				return n, m, control(h.OpCode, p)
			}
			d.hole += uint32(n)
			if err := control(h.OpCode, p); err != nil {
				return 0, m, err
			}
		case h.Length > int64(d.most)-int64(d.have):
			return 0, m, proactor.ErrTooLong
		default:
			d.begin(h, n)
		}
	}
}

// head reads the header of n bytes that rest begins with, and checks it. n is 0 where it is not whole, or not all of a
// control frame is there, whose payload is p, unmasked. An error ends the stream.
func (d *decoder) head(rest []byte) (h ws.Header, n int, p []byte, err error) {
	h, n, err = header(rest)
	if err == nil && n > 0 {
		err = d.check(h)
	}
	switch {
	case err != nil:
		return h, 0, nil, fault(err)
	case n == 0 || !h.OpCode.IsControl():
		return h, n, nil, nil
	case len(rest)-n < int(h.Length):
		return h, 0, nil, nil
	}
	p = rest[n : n+int(h.Length)]
	if h.Masked {
		ws.Cipher(p, h.Mask, 0)
	}
	return h, n, p, nil
}

// check says what is wrong with a header.
func (d *decoder) check(h ws.Header) error {
	state := ws.StateServerSide
	if d.flags&client != 0 {
		state = ws.StateClientSide
	}
	if d.flags&begun != 0 {
		state = state.Set(ws.StateFragmented)
	}
	if d.compresses(h) {
		h.Rsv = 0
	}
	return ws.CheckHeader(h, state)
}

// compresses reports whether a header begins a compressed message: the first one of a message may, where
// that was agreed on, and no other (RFC 7692, 6).
func (d *decoder) compresses(h ws.Header) bool {
	return h.Rsv == byte(rsv1>>4) && d.flags&(deflates|begun) == deflates && h.OpCode.IsData() && h.OpCode != ws.OpContinuation
}

// fault is the error for one of the peer's.
func fault(err error) error {
	code := StatusProtocolError
	if err == errUTF8 || err == errDeflate || err == errEmpty {
		code = StatusInvalidPayload
	}
	return &ProtocolError{code, err}
}

// begin begins a data frame, whose header has n bytes.
func (d *decoder) begin(h ws.Header, n int) {
	if d.flags&begun == 0 {
		packed := d.compresses(h)
		d.op, d.lead, d.flags = h.OpCode, uint8(n), d.flags&lasting|begun
		if packed {
			d.flags |= compressed
		}
	} else {
		d.hole += uint32(n)
	}
	d.todo, d.mask = uint32(h.Length), h.Mask
	d.flags = d.flags&^final | inFrame
	if h.Fin {
		d.flags |= final
	}
}

// unmask takes the mask off what has come of the present frame's payload.
func (d *decoder) unmask(p []byte) {
	if d.flags&client != 0 || len(p) == 0 {
		return
	}
	ws.Cipher(p, d.mask, 0)
	m := d.mask
	for i := range d.mask {
		d.mask[i] = m[(len(p)+i)%4]
	}
}

// payload takes what has come of the present frame's.
func (d *decoder) payload(data, rest []byte) error {
	k := min(int(d.todo), len(rest))
	p := rest[:k]
	d.unmask(p)
	end := int(d.lead) + int(d.have)
	if d.hole > 0 {
		copy(data[end:], p)
	}
	d.have += uint32(k)
	d.todo -= uint32(k)
	if d.op != ws.OpText || d.flags&compressed != 0 {
		return nil
	}
	open, ok := text(data[end-int(d.open) : end+k])
	if !ok || open > 0 && d.todo == 0 && d.flags&final != 0 {
		return fault(errUTF8)
	}
	d.open = uint8(open)
	return nil
}

// text reports whether p is UTF-8, but for the last bytes, which may be the beginning of a
// character.
func text(p []byte) (open int, ok bool) {
	if utf8.Valid(p) {
		return 0, true
	}
	for open = 1; open < utf8.UTFMax && open <= len(p); open++ {
		if end := p[len(p)-open:]; utf8.RuneStart(end[0]) {
			return open, !utf8.FullRune(end) && utf8.Valid(p[:len(p)-open])
		}
	}
	return 0, false
}

// whole hands a message over.
func (d *decoder) whole(data []byte) (advance int, m message, err error) {
	lead, end := int(d.lead), int(d.lead)+int(d.have)
	advance = end + int(d.hole)
	m = message{t: Type(d.op), p: data[lead:end:end], lead: d.lead, compressed: d.flags&compressed != 0}
	d.over()
	return advance, m, nil
}

// over has the decoder begin again after a message.
func (d *decoder) over() {
	*d = decoder{most: d.most, flags: d.flags & lasting}
	if d.flags&stopping != 0 {
		d.flags |= stopped
	}
}

// waited reports whether a message has begun whose end a shutdown waits for.
func (d *decoder) waited() bool { return d.flags&(begun|stopped) == begun }

// reclaimLeast is the hole, in bytes, that is left where there is room.
const reclaimLeast = 512

// reclaim moves the payload over the hole where that is larger, so that a message of many small
// frames takes no more than twice its bytes; and where the framework would find more than it may
// keep. It returns how many bytes are free then, at the beginning.
func (d *decoder) reclaim(data []byte) (free int) {
	free = int(d.hole)
	most := int(d.most)
	switch {
	case free == 0:
		return 0
	case len(data) > most+min(most, headersMost): // more than MaxMessage
	case free < reclaimLeast || free < int(d.have) && len(data) <= most:
		return 0
	}
	copy(data[free:], data[:int(d.lead)+int(d.have)])
	d.hole = 0
	return free
}
