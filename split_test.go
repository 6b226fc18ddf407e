package proactor_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

// lines is a handler that answers each line with its number and length.
func lines() proactor.Handler {
	return proactor.Handler{
		Split: bufio.ScanLines,
		Message: func(c *proactor.Conn, msg []byte) {
			n, _ := c.Value().(int)
			c.SetValue(n + 1)
			fmt.Fprintf(c, "%d:%s\n", n, msg)
		},
	}
}

func answers(text string) string {
	var b strings.Builder
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fmt.Fprintf(&b, "%d:%s\n", i, strings.TrimSuffix(l, "\r"))
	}
	return b.String()
}

// Messages are cut wherever the bytes are: many at once, one byte at a time,
// the last without its end.
func TestSplit(t *testing.T) {
	long := strings.Repeat("long ", 30_000)
	for name, text := range map[string]string{
		"burst":       strings.Repeat("a\nbb\r\n\nccc\n", 500),
		"long":        "x\n" + long + "\ny\n",
		"no last end": "one\ntwo",
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			if piece == 1 && len(text) > 10_000 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", name, piece), func(t *testing.T) {
				eachBackend(t, func(t *testing.T, backend string) {
					text := text
					if piece == 1 {
						text = text[:min(len(text), scaled(1000))]
					}
					r := newRig(t, backend)
					c := client(t, r.serve(lines()))
					go func() {
						for rest := text; len(rest) > 0; {
							n := min(piece, len(rest))
							if _, err := c.Write([]byte(rest[:n])); err != nil {
								return
							}
							rest = rest[n:]
						}
						c.CloseWrite()
					}()
					expectEnd(t, c, []byte(answers(text)))
				})
			})
		}
	}
}

// What Data does not consume is shown again, with more behind it.
func TestDataKeepsTheRest(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if p[len(p)-1] != '.' { // not all of it came
				return 0
			}
			n := (len(p) + 1) / 2 // half of it again, when more comes
			c.Write(p[:n])
			return n
		}})
		c := client(t, s)
		for _, b := range []byte("abcde") {
			send(t, c, []byte{b})
		}
		send(t, c, []byte("fg."))
		expect(t, c, []byte("abcd"))
		send(t, c, []byte("hijk."))
		expect(t, c, []byte("efg.h"))
	})
}

// A message over the limit is the end, and what came before it was delivered.
func TestMaxMessage(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const most = 1000
		for _, over := range []bool{false, true} {
			r := newRig(t, backend)
			c := client(t, r.serve(lines(), limits(proactor.Limits{MaxMessage: most})))
			n := most
			if over {
				n++
			}
			long := strings.Repeat("x", n)
			send(t, c, []byte("first\n"+long))
			expect(t, c, []byte("0:first\n"))
			if over {
				expectEnd(t, c, nil)
				c.Close()
				r.ends(proactor.ErrTooLong)
				continue
			}
			send(t, c, []byte("\n"))
			expect(t, c, []byte("1:"+long+"\n"))
		}
	})
}

// A handler that closes or pauses in a Message gets no further one.
func TestMessageStops(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Split: bufio.ScanLines, Message: func(c *proactor.Conn, msg []byte) {
			c.Write(msg)
			switch string(msg) {
			case "pause":
				c.PauseRead()
				c.Post(c.ResumeRead)
			case "close":
				c.Close()
			}
		}})
		c := client(t, s)
		send(t, c, []byte("a\npause\nb\npause\nclose\nnever\n"))
		expectEnd(t, c, []byte("apausebpauseclose"))
		c.Close()
		r.ends(proactor.ErrLocalClosed)
	})
}

// Split sees the end of the stream, and can refuse what was cut short.
func TestSplitAtEOF(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{
			Split: func(p []byte, eof bool) (int, []byte, error) {
				if eof && len(p) > 0 {
					return 0, nil, fmt.Errorf("%w: %d bytes at the end", io.ErrUnexpectedEOF, len(p))
				}
				return 0, nil, nil
			},
			Message: func(*proactor.Conn, []byte) { t.Error("a message") },
		})
		c := client(t, s)
		send(t, c, []byte("cut"))
		c.CloseWrite()
		expectEnd(t, c, nil)
		e := take(t, "Closed", r.closed)
		if !errors.Is(e.cause, io.ErrUnexpectedEOF) || !strings.Contains(e.cause.Error(), "3 bytes") {
			t.Errorf("closed with %v", e.cause)
		}
	})
}

// Each connection has its own SplitFunc of NewSplit.
func TestNewSplit(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{
			NewSplit: frame.Line(10).Splitter,
			Message:  func(c *proactor.Conn, msg []byte) { fmt.Fprintf(c, "%q", msg) },
		})
		a, b := client(t, s), client(t, s)
		for i, piece := range []string{"one", "two\r", "\n\r", "\nthre", "e\r\n\r\n"} {
			send(t, a, []byte(piece))
			send(t, b, []byte(piece[:len(piece)-i%2]))
			if i%2 == 1 {
				send(t, b, []byte(piece[len(piece)-1:]))
			}
		}
		for _, c := range []net.Conn{a, b} {
			expect(t, c, []byte(`"onetwo""""three"""`))
		}
		send(t, a, []byte("eleven bytes"))
		expectEnd(t, a, nil)
		a.Close()
		var long *frame.TooLongError
		if e := take(t, "Closed", r.closed); !errors.As(e.cause, &long) || long.Max != 10 {
			t.Errorf("closed with %v", e.cause)
		}
		send(t, b, []byte("on\r\n"))
		expect(t, b, []byte(`"on"`))
	})
}

// A message that is only complete because the stream ended comes once, though
// the handler pauses at it.
func TestPauseAtTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		h := lines()
		answer := h.Message
		h.Message = func(c *proactor.Conn, msg []byte) {
			answer(c, msg)
			c.PauseRead()
			c.Post(c.ResumeRead)
		}
		c := client(t, r.serve(h))
		send(t, c, []byte("a\nb\nlast"))
		c.CloseWrite()
		expectEnd(t, c, []byte("0:a\n1:b\n2:last\n"))
		c.Close()
		r.ends(proactor.ErrPeerClosed)
	})
}

// What a handler answers to the messages of one piece goes out as one: not the
// first in a packet of its own, and the others when that was sent.
func TestAnswersTogether(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const messages = 10
		r := newRig(t, backend)
		n := 0
		var early atomic.Int64 // sends before the last message
		c := client(t, r.serve(proactor.Handler{
			Split: bufio.ScanLines,
			Message: func(c *proactor.Conn, msg []byte) {
				c.Write(msg)
				if proactor.Sending(c) {
					early.Add(1)
				}
				if n++; n == messages {
					c.Close()
				}
			},
		}))
		// In one piece, as the bytes before the last one are no message.
		if _, err := c.Write([]byte(strings.Repeat("m\n", messages))); err != nil {
			t.Fatal(err)
		}
		expectEnd(t, c, []byte(strings.Repeat("m", messages)))
		if n := early.Load(); n > 0 {
			t.Errorf("a send was under way after %d of %d messages of one piece", n, messages)
		}
	})
}
