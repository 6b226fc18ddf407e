package read_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

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
				rig.Each(t, func(t *testing.T, backend string) {
					text := text
					if piece == 1 {
						text = text[:min(len(text), testenv.Scaled(1000))]
					}
					r := rig.New(t, backend)
					c := rig.Client(t, r.Serve(rig.Lines()))
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
					must.ReadEnd(t, c, []byte(answers(text)))
				})
			})
		}
	}
}

// What Data does not consume is shown again, with more behind it.
func TestDataKeepsTheRest(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if p[len(p)-1] != '.' { // not all of it came
				return 0
			}
			n := (len(p) + 1) / 2 // half of it again, when more comes
			c.Write(p[:n])
			return n
		}})
		c := rig.Client(t, s)
		for _, b := range []byte("abcde") {
			must.Send(t, c, []byte{b})
		}
		must.Send(t, c, []byte("fg."))
		must.Read(t, c, []byte("abcd"))
		must.Send(t, c, []byte("hijk."))
		must.Read(t, c, []byte("efg.h"))
	})
}

// A message over the limit is the end, and what came before it was delivered.
func TestMaxMessage(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const most = 1000
		for _, over := range []bool{false, true} {
			r := rig.New(t, backend)
			c := rig.Client(t, r.Serve(rig.Lines(), rig.Limits(proactor.Limits{MaxMessage: most})))
			n := most
			if over {
				n++
			}
			long := strings.Repeat("x", n)
			must.Send(t, c, []byte("first\n"+long))
			must.Read(t, c, []byte("0:first\n"))
			if over {
				must.ReadEnd(t, c, nil)
				c.Close()
				r.Ends(proactor.ErrTooLong)
				continue
			}
			must.Send(t, c, []byte("\n"))
			must.Read(t, c, []byte("1:"+long+"\n"))
		}
	})
}

// A handler that closes or pauses in a Message gets no further one.
func TestMessageStops(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Split: bufio.ScanLines, Message: func(c *proactor.Conn, msg []byte) {
			c.Write(msg)
			switch string(msg) {
			case "pause":
				c.PauseRead()
				c.Post(c.ResumeRead)
			case "close":
				c.Close()
			}
		}})
		c := rig.Client(t, s)
		must.Send(t, c, []byte("a\npause\nb\npause\nclose\nnever\n"))
		must.ReadEnd(t, c, []byte("apausebpauseclose"))
		c.Close()
		r.Ends(proactor.ErrLocalClosed)
	})
}

// Split sees the end of the stream, and can refuse what was cut short.
func TestSplitAtEOF(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{
			Split: func(p []byte, eof bool) (int, []byte, error) {
				if eof && len(p) > 0 {
					return 0, nil, fmt.Errorf("%w: %d bytes at the end", io.ErrUnexpectedEOF, len(p))
				}
				return 0, nil, nil
			},
			Message: func(*proactor.Conn, []byte) { t.Error("a message") },
		})
		c := rig.Client(t, s)
		must.Send(t, c, []byte("cut"))
		c.CloseWrite()
		must.ReadEnd(t, c, nil)
		e := must.Take(t, "Closed", r.Closed)
		if !errors.Is(e.Cause, io.ErrUnexpectedEOF) || !strings.Contains(e.Cause.Error(), "3 bytes") {
			t.Errorf("closed with %v", e.Cause)
		}
	})
}

// Each connection has its own SplitFunc of NewSplit.
func TestNewSplit(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{
			NewSplit: frame.Line(10).Splitter,
			Message:  func(c *proactor.Conn, msg []byte) { fmt.Fprintf(c, "%q", msg) },
		})
		a, b := rig.Client(t, s), rig.Client(t, s)
		for i, piece := range []string{"one", "two\r", "\n\r", "\nthre", "e\r\n\r\n"} {
			must.Send(t, a, []byte(piece))
			must.Send(t, b, []byte(piece[:len(piece)-i%2]))
			if i%2 == 1 {
				must.Send(t, b, []byte(piece[len(piece)-1:]))
			}
		}
		for _, c := range []net.Conn{a, b} {
			must.Read(t, c, []byte(`"onetwo""""three"""`))
		}
		must.Send(t, a, []byte("eleven bytes"))
		must.ReadEnd(t, a, nil)
		a.Close()
		var long *frame.TooLongError
		if e := must.Take(t, "Closed", r.Closed); !errors.As(e.Cause, &long) || long.Max != 10 {
			t.Errorf("closed with %v", e.Cause)
		}
		must.Send(t, b, []byte("on\r\n"))
		must.Read(t, b, []byte(`"on"`))
	})
}

// A message that is only complete because the stream ended comes once, though
// the handler pauses at it.
func TestPauseAtTheEnd(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		h := rig.Lines()
		answer := h.Message
		h.Message = func(c *proactor.Conn, msg []byte) {
			answer(c, msg)
			c.PauseRead()
			c.Post(c.ResumeRead)
		}
		c := rig.Client(t, r.Serve(h))
		must.Send(t, c, []byte("a\nb\nlast"))
		c.CloseWrite()
		must.ReadEnd(t, c, []byte("0:a\n1:b\n2:last\n"))
		c.Close()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// What a handler answers to the messages of one piece goes out as one: not the
// first in a packet of its own, and the others when that was sent.
func TestAnswersTogether(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const messages = 10
		r := rig.New(t, backend)
		n := 0
		c := rig.Client(t, r.Serve(proactor.Handler{
			Split: bufio.ScanLines,
			Message: func(c *proactor.Conn, msg []byte) {
				c.Write(msg)
				if n++; n == messages {
					c.Close()
				}
			},
		}))
		// In one piece, as the bytes before the last one are no message.
		if _, err := c.Write([]byte(strings.Repeat("m\n", messages))); err != nil {
			t.Fatal(err)
		}
		must.ReadEnd(t, c, []byte(strings.Repeat("m", messages)))
		c.Close()
		must.Eventually(t, "the end is counted", func() bool { return r.Engine.Stats().Closed == 1 })
		if n := r.Engine.Stats().Sends; n != 1 {
			t.Errorf("%d sends for the answers to %d messages of one piece", n, messages)
		}
	})
}
