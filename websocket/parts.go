package websocket

import (
	"math"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
)

// part cuts off data what has come of a message, for Options.Part, as next does it with whole ones. What
// the framework keeps is
//
//	open: the beginning of a character, unmasked │ what was not looked at: a part of a header or of a control frame
//
// A character may be cut by headers and control frames. They are taken out by moving its beginning over them, to
// where the rest of it is. Of the decoder, most, have, hole and lead are for whole messages.
func (d *decoder) part(data []byte, control func(op ws.OpCode, p []byte) error) (advance int, m message, err error) {
	for {
		if d.flags&inFrame == 0 {
			h, n, p, err := d.head(data[advance+int(d.open):])
			switch {
			case err != nil:
				return 0, m, err
			case n == 0:
				return advance, m, nil
			case h.OpCode.IsControl():
				if err := control(h.OpCode, p); err != nil {
					return 0, m, err
				}
				return d.takeOut(data, advance, n+len(p)), m, nil // control may have paused the connection
			case h.Length > math.MaxUint32:
				return 0, m, proactor.ErrTooLong
			}
			d.begin(h, n)
			d.lead, d.hole = 0, 0 // the header is taken out at once
			advance = d.takeOut(data, advance, n)
		}
		p, err := d.piece(data[advance:])
		if err != nil {
			return 0, m, err
		}
		advance += len(p)
		if d.todo == 0 {
			d.flags &^= inFrame
		}
		last := d.flags&(inFrame|final) == final
		if last || len(p) > 0 {
			m = message{t: Type(d.op), p: p[:len(p):len(p)], goesOn: !last}
			if last {
				d.over()
			}
			return advance, m, nil
		}
		if d.todo > 0 {
			return advance, m, nil
		}
	}
}

// takeOut moves what is open, at data[at:], over the n bytes behind it, and returns where it is then: what is
// before that is consumed.
func (d *decoder) takeOut(data []byte, at, n int) int {
	copy(data[at+n:], data[at:at+int(d.open)])
	return at + n
}

// piece takes what has come of the present frame, and gives what is there of the message, but for the
// beginning of a character.
func (d *decoder) piece(data []byte) ([]byte, error) {
	had := int(d.open)
	k := int(min(int64(d.todo), int64(len(data)-had))) // todo may be more than an int has
	p := data[:had+k]
	d.unmask(p[had:])
	d.todo -= uint32(k)
	if d.op != ws.OpText {
		return p, nil
	}
	open, ok := text(p)
	if !ok || open > 0 && d.todo == 0 && d.flags&final != 0 {
		return nil, fault(errUTF8)
	}
	d.open = uint8(open)
	return p[:len(p)-open], nil
}
