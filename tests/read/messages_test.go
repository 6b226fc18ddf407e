package read_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

var errNoNumber = errors.New("no number")

// parseNumber parses a line that is a number, the last of them also without its end.
func parseNumber(_ *proactor.Conn, data []byte, eof bool) (advance, n int, err error) {
	i := bytes.IndexByte(data, '\n')
	switch {
	case i >= 0:
		advance = i + 1
	case eof:
		i, advance = len(data), len(data)
	}
	if advance == 0 {
		return 0, 0, nil
	}
	if n, err = strconv.Atoi(string(data[:i])); err != nil {
		err = errNoNumber
	}
	return advance, n, err
}

func answerNumber(c *proactor.Conn, n int) { fmt.Fprintf(c, "%d\n", 2*n) }

// Messages are parsed once, wherever the stream is cut, the last without its end too. One
// that cannot be parsed ends the stream, after those before it.
func TestMessages(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		for _, piece := range []int{1, 3, 1 << 20} {
			s := r.Serve(proactor.Messages(parseNumber, answerNumber))
			var ask, want strings.Builder
			for i := range 200 {
				fmt.Fprintf(&ask, "%d\n", i*i)
				fmt.Fprintf(&want, "%d\n", 2*i*i)
			}
			ask.WriteString("4")
			want.WriteString("8\n")
			for _, end := range []string{"", "x\n1\n"} {
				c := rig.Client(t, s)
				go func() {
					for rest := ask.String() + end; len(rest) > 0; {
						n := min(piece, len(rest))
						if _, err := c.Write([]byte(rest[:n])); err != nil {
							return
						}
						rest = rest[n:]
					}
					c.CloseWrite()
				}()
				if end != "" {
					must.ReadEnd(t, c, []byte(strings.TrimSuffix(want.String(), "8\n")))
					c.Close()
					r.Ends(errNoNumber)
					continue
				}
				must.ReadEnd(t, c, []byte(want.String()))
				r.Ends(proactor.ErrPeerClosed)
			}
		}
	})
}

// What is wrong with a split or a handle ends the connection, with that as the cause;
// bufio.ErrFinalToken ends it in good order.
func TestMessagesEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		advance int
		err     error
		panics  bool
		cause   error
		want    string
	}{
		"too many bytes": {advance: 4, cause: proactor.ErrConsumed},
		"negative":       {advance: -1, cause: proactor.ErrConsumed},
		"error":          {advance: 1, err: errNoNumber, cause: errNoNumber},
		"final":          {advance: 1, err: bufio.ErrFinalToken, cause: proactor.ErrLocalClosed, want: "a"},
		"panic":          {advance: 1, panics: true},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				c := rig.Client(t, r.Serve(proactor.Messages(
					func(_ *proactor.Conn, data []byte, _ bool) (int, []byte, error) {
						return tt.advance, data[:1], tt.err
					},
					func(c *proactor.Conn, msg []byte) {
						if tt.panics {
							panic("planned")
						}
						c.Write(msg)
					})))
				must.Send(t, c, []byte("abc"))
				if tt.panics {
					r.Panics = 1
					porttest.Reset(t, c)
					var why *proactor.PanicError
					if e := must.Take(t, "Closed", r.Closed); !errors.As(e.Cause, &why) {
						t.Errorf("closed with %v", e.Cause)
					}
					return
				}
				must.ReadEnd(t, c, []byte(tt.want))
				c.Close()
				r.Ends(tt.cause)
			})
		})
	}
}

// What is asked for while a message is handled, by the handler itself or by another
// goroutine, comes before the next message, though both are in one piece.
func TestAskedBetweenMessages(t *testing.T) {
	elsewhere := func(f func()) {
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		<-done
	}
	for by, do := range map[string]func(func()){"the handler": func(f func()) { f() }, "another goroutine": elsewhere} {
		for form, handler := range map[string]func(func(*proactor.Conn, []byte)) proactor.Handler{
			"Split": func(f func(*proactor.Conn, []byte)) proactor.Handler {
				return proactor.Handler{Split: bufio.ScanLines, Message: f}
			},
			"Messages": func(f func(*proactor.Conn, []byte)) proactor.Handler {
				return proactor.Messages(func(_ *proactor.Conn, data []byte, eof bool) (int, []byte, error) {
					return bufio.ScanLines(data, eof)
				}, f)
			},
		} {
			t.Run(form+" by "+by, func(t *testing.T) {
				rig.Each(t, func(t *testing.T, backend string) {
					r := rig.New(t, backend)
					var seen []string
					s := r.Serve(handler(func(c *proactor.Conn, msg []byte) {
						seen = append(seen, string(msg))
						switch string(msg) {
						case "pause":
							do(c.PauseRead)
							c.Post(func() { seen = append(seen, "resume"); c.ResumeRead() })
						case "again":
							do(c.Again)
							c.Post(func() { seen = append(seen, "turn") })
						case "close":
							do(func() { c.Close() })
						}
					}))
					c := rig.Client(t, s)
					must.Send(t, c, []byte("a\npause\nb\nagain\nc\nclose\nnever\n"))
					io.Copy(io.Discard, c)
					c.Close()
					r.Ends(proactor.ErrLocalClosed)
					got := strings.Join(seen, " ")
					if got != "a pause resume b again turn c close" && got != "a pause resume b again c turn close" || strings.Contains(got, "again c turn") && by == "the handler" {
						t.Errorf("saw %s", got)
					}
				})
			})
		}
	}
}

// A handler that has reached the high mark is given no further message of the piece.
func TestBacklogBetweenMessages(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		at := 0
		s := r.Serve(proactor.Messages(parseNumber, func(c *proactor.Conn, n int) {
			if !c.Writable() {
				t.Errorf("message %d came over the high mark", n)
			}
			at++
			c.Write(make([]byte, n))
		}), rig.Limits(proactor.Limits{HighWater: 5000, LowWater: 1000, MaxPending: 10_000}))
		c := rig.Client(t, s)
		const messages = 500
		go func() {
			c.Write([]byte(strings.Repeat("3000\n", messages)))
			c.CloseWrite()
		}()
		if n, err := io.Copy(io.Discard, c); n != 3000*messages || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		r.Ends(proactor.ErrPeerClosed)
		if at != messages {
			t.Errorf("%d messages", at)
		}
	})
}
