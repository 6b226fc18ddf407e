package proactor

import (
	"bufio"
	"errors"
)

// Messages makes a handler for messages that are of the type T once they are parsed,
// so that no message is parsed twice: to find its end, and to read it. Its split and
// handle are in the place of Handler.Split and Handler.Message, neither of which is set,
// nor is Data; the other fields are the caller's.
//
// split is shown what was received and not consumed, never nothing, with eof once the
// peer has closed, and gives the first message of it and how many bytes that took. No
// bytes: the message is not complete, and split is called again with more; msg means
// nothing then. An error ends the stream, see Handler.Ended; bufio.ErrFinalToken has
// handle called, where bytes were taken, and then closes the connection. handle is called
// with each message before split is called again. Both are callbacks like others. data is
// valid until handle returns: msg may refer to it, and to memory of the connection (see
// [Conn.Value]) or of the loop ([PerLoop]) that split uses again for the next message.
func Messages[T any](split func(c *Conn, data []byte, eof bool) (advance int, msg T, err error), handle func(c *Conn, msg T)) Handler {
	return Handler{step: func(c *Conn, data []byte, eof bool) (int, error) {
		if len(data) == 0 { // the end, after a message that is complete
			return 0, nil
		}
		advance, msg, err := split(c, data, eof)
		if advance > 0 && advance <= len(data) && (err == nil || errors.Is(err, bufio.ErrFinalToken)) {
			handle(c, msg)
		}
		return advance, err
	}}
}

// take hands over each message that is complete. It stops when the handler pauses or
// closes the connection, or gives it to another.
func (m *cut) take(c *Conn, b []byte, last bool) (n int) {
	for (len(b[n:]) > 0 || last) && c.mayDeliver() && c.handler() == (*Handler)(m) {
		took, more, err := m.call(c, b[n:], last)
		n += took
		switch {
		case errors.Is(err, bufio.ErrFinalToken):
			c.close(ErrLocalClosed)
			return len(b)
		case err != nil:
			c.end(err)
			return len(b)
		case !more:
			return n
		}
	}
	return n
}

// call calls the functions of the framing and of the handler in turn. To the connection
// all of that is one callback, up to where something was asked for that comes before the
// next message; then there may be more.
func (m *cut) call(c *Conn, b []byte, last bool) (n int, more bool, err error) {
	c.beginCallback()
	what := "Split"
	defer c.containLast(&what)
	split := m.splitFunc(c)
	for {
		var advance int
		if m.step != nil {
			what = "Messages"
			advance, err = m.step(c, b[n:], last)
		} else {
			var msg []byte
			what = "Split"
			advance, msg, err = split(b[n:], last)
			if msg != nil && uint(advance) <= uint(len(b)-n) && (err == nil || errors.Is(err, bufio.ErrFinalToken)) {
				c.loop.returned(what, c)
				what = "Message"
				m.Message(c, msg)
			}
		}
		if uint(advance) > uint(len(b)-n) && (err == nil || errors.Is(err, bufio.ErrFinalToken)) {
			err = ErrConsumed
		}
		if err != nil {
			break
		}
		n += advance
		more = advance > 0 && (n < len(b) || last)
		if !more || !c.mayDeliver() || c.busy.Load()&asked != 0 {
			break
		}
		c.loop.returned(what, c)
	}
	c.endCallback(what)
	return n, more, err
}

// splitFunc is the SplitFunc of the connection; nil where the handler has none.
func (m *cut) splitFunc(c *Conn) bufio.SplitFunc {
	if m.NewSplit == nil {
		return m.Split
	}
	if c.remember().split == nil {
		c.kept.split = m.NewSplit()
	}
	return c.kept.split
}
