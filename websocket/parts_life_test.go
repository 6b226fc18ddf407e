package websocket_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/websocket"
)

// parts is a recorder of messages in parts.
type parts struct {
	recorder
	got  []byte // of the present message
	many int    // parts of it
}

func (r *parts) options() *websocket.Options {
	o := r.recorder.options()
	o.Part = func(_ *websocket.Conn, t websocket.Type, p []byte, last bool) {
		r.got = append(r.got, p...)
		r.many++
		if last {
			r.told = append(r.told, t.String()+" "+string(r.got))
			r.got, r.many = nil, 0
		}
	}
	return o
}

// inParts runs a test with a server of messages in parts on a few networks.
func inParts(t *testing.T, limits proactor.Limits, change func(*websocket.Options, *parts), f func(e *proactortest.Env, s *proactor.Server, r *parts)) {
	proactortest.Config{Seeds: testenv.Scaled(10)}.Run(t, func(e *proactortest.Env) {
		r := new(parts)
		o := r.options()
		change(o, r)
		f(e, e.Serve(&proactor.Server{Handler: websocket.Handler(o), Limits: limits}), r)
	})
}

// A shutdown waits for the end of a message in parts, of which nothing is kept.
func TestShutdownInParts(t *testing.T) { shutsDown(t, gathered) }

// It waits in the middle of a frame, too, between two frames, and while the handler has paused the connection; a
// message that begins behind the last one is not waited for, however much there is of it.
func TestShutdownInTheMiddle(t *testing.T) {
	inParts(t, proactor.Limits{}, func(o *websocket.Options, r *parts) {
		part := o.Part
		o.Part = func(c *websocket.Conn, t websocket.Type, p []byte, last bool) {
			part(c, t, p, last)
			if bytes.HasSuffix(r.got, []byte("pause")) {
				c.Transport().PauseRead()
				c.Transport().After(time.Hour, c.Transport().ResumeRead)
			}
		}
	}, func(e *proactortest.Env, s *proactor.Server, r *parts) {
		for i, message := range []string{in(whole, 0, binry, "12345 pause 67890 pause"), in(part, 0, text, "half\xc3") + in(whole, 0, cont, "\xa4 ")} {
			for _, cut := range []int{7, 9, len(message) - 1} { // the first part has begun
				if i == 1 && cut == 9 {
					cut = 11 // the first frame has ended
				}
				s := e.Serve(&proactor.Server{Handler: s.Handler})
				*r = parts{}
				c := dial(e, s)
				c.Send(message[:cut])
				e.Sleep(2 * time.Hour)
				e.Go(func() { s.Shutdown(context.Background()) })
				e.Sleep(2 * time.Hour)
				if len(r.causes) != 0 {
					e.Fatalf("after %q: closed with %v", message[:cut], r.causes)
				}
				c.Send(message[cut:] + in(part, 0, binry, strings.Repeat("next", 100)))
				c.SetReadDeadline(time.Now().Add(10 * time.Hour))
				c.Expect(out(closing, code(1001, "")))
				c.ExpectEnd()
				c.Close()
				e.Sleep(time.Hour)
				want := []string{"binary 12345 pause 67890 pause", "text halfä "}[i]
				if len(r.told) != 1 || r.told[0] != want || len(r.causes) != 1 || r.causes[0] != proactor.ErrServerClosed {
					e.Errorf("told %q, closed with %v", r.told, r.causes)
				}
			}
		}
	})
}

// A peer that drips a message is too slow, whether its bytes are kept or consumed, in one frame or many, and
// whatever it sends between the frames. One that is over the rate goes on, and silence between messages is allowed.
func TestMinRateWithinMessages(t *testing.T) {
	limits := proactor.Limits{MinRate: 100, RateWindow: 10 * time.Second, LingerTimeout: -1}
	begin := in(whole, 0, binry, strings.Repeat("x", 60_000))[:8]
	var fill string
	for range 4 {
		fill += in(whole, 0, pong, strings.Repeat("p", 125))
	}
	for name, drip := range map[string]struct {
		first, then string
		every       time.Duration
	}{
		"one frame":         {begin, "x", time.Second},
		"frames":            {in(part, 0, text, ""), in(part, 0, cont, "x"), time.Second},
		"half a character":  {in(part, 0, text, "\xe2"), in(part, 0, cont, ""), time.Second},
		"with what is much": {in(part, 0, binry, "x"), fill, 9 * time.Second},
	} {
		for kind, options := range map[string]func(*parts) *websocket.Options{
			"whole": func(r *parts) *websocket.Options { return r.recorder.options() },
			"parts": (*parts).options,
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				proactortest.Config{Seeds: testenv.Scaled(5)}.Run(t, func(e *proactortest.Env) {
					r := new(parts)
					s := e.Serve(&proactor.Server{Handler: websocket.Handler(options(r)), Limits: limits})
					c := dial(e, s)
					c.Send(in(whole, 0, text, "before"))
					e.Sleep(time.Hour)
					begun := time.Now()
					c.Send(drip.first)
					for len(r.causes) == 0 && time.Since(begun) < 5*time.Minute {
						c.SetWriteDeadline(time.Now().Add(time.Minute))
						c.Write([]byte(drip.then)) // which may fail, at the end
						e.Sleep(drip.every)
					}
					if took := time.Since(begun); len(r.causes) != 1 || r.causes[0] != proactor.ErrTooSlow || took > time.Minute {
						e.Errorf("after %v: %v", took, r.causes)
					}
				})
			})
		}
	}
	inParts(t, limits, func(*websocket.Options, *parts) {}, func(e *proactortest.Env, s *proactor.Server, r *parts) {
		c := dial(e, s)
		for range 2 {
			message := in(whole, 0, binry, strings.Repeat("x", 6000))
			for ; len(message) > 0; message = message[min(200, len(message)):] {
				c.Send(message[:min(200, len(message))])
				e.Sleep(time.Second)
			}
			e.Sleep(time.Hour)
			c.Send(in(whole, 0, ping, ""))
			c.Expect(out(pong, ""))
		}
		if len(r.told) != 2 || len(r.causes) != 0 {
			e.Errorf("%d messages, closed with %v", len(r.told), r.causes)
		}
	})
}

// The window of MinRate is that of the message that goes on, not of what came before it: part of a header, whose
// rest came with the beginning of the message behind it.
func TestMinRateOfTheNextMessage(t *testing.T) {
	limits := proactor.Limits{MinRate: 1, RateWindow: 100 * time.Second, LingerTimeout: -1}
	long := in(whole, 0, binry, strings.Repeat("x", 200))
	for kind, options := range map[string]func(*parts) *websocket.Options{
		"whole": func(r *parts) *websocket.Options { return r.recorder.options() },
		"parts": (*parts).options,
	} {
		for before, frame := range map[string]string{"a message": in(whole, 0, binry, "short"), "a ping": in(whole, 0, ping, "")} {
			t.Run(before+", "+kind, func(t *testing.T) {
				proactortest.Config{Seeds: 3, Network: port.SimConfig{MaxDelay: time.Millisecond}}.Run(t, func(e *proactortest.Env) {
					r := new(parts)
					s := e.Serve(&proactor.Server{Handler: websocket.Handler(options(r)), Limits: limits})
					c := dial(e, s)
					c.Send(frame[:1])
					e.Sleep(90 * time.Second)
					c.Send(frame[1:] + long[:10])
					e.Sleep(80 * time.Second) // the window of the short one is over
					c.Send(long[10:])
					e.Sleep(time.Minute)
					if len(r.causes) != 0 || len(r.told) == 0 || len(r.told[len(r.told)-1]) < 200 {
						e.Errorf("told %.50q, closed with %v", r.told, r.causes)
					}
				})
			})
		}
	}
}

// After PauseRead in Part no part comes before ResumeRead, and then all do, whatever has piled up.
func TestPauseInPart(t *testing.T) {
	const pauses = 5
	inParts(t, proactor.Limits{MaxMessage: 4 << 10}, func(o *websocket.Options, r *parts) {
		part := o.Part
		o.Part = func(c *websocket.Conn, t websocket.Type, p []byte, last bool) {
			part(c, t, p, last)
			if many := r.many; many <= pauses && len(r.told) == 0 && len(r.got) > 0 {
				c.Transport().PauseRead()
				c.Transport().After(time.Hour, func() {
					if r.many != many {
						r.told = append(r.told, "a part during the pause")
					}
					c.Transport().ResumeRead()
				})
			}
		}
	}, func(e *proactortest.Env, s *proactor.Server, r *parts) {
		c := dial(e, s)
		long := strings.Repeat("0123456789", 5000)
		e.Go(func() {
			c.SetWriteDeadline(time.Now().Add(24 * time.Hour))
			c.Write([]byte(fragments(text, long, 700) + in(part, 0, text, "next")))
		})
		e.Sleep(12 * time.Hour)
		if len(r.told) != 1 || r.told[0] != "text "+long || string(r.got) != "next" {
			e.Fatalf("told %.200q, then %q", r.told, r.got)
		}
	})
}

// After Close in Part no part comes any more, and the peer's Close frame may come between two frames. A peer that
// leaves in the middle of a message leaves it without a last part.
func TestCloseInPart(t *testing.T) {
	inParts(t, proactor.Limits{}, func(o *websocket.Options, r *parts) {
		part := o.Part
		o.Part = func(c *websocket.Conn, t websocket.Type, p []byte, last bool) {
			if part(c, t, p, last); bytes.HasPrefix(r.got, []byte("stop")) {
				c.Close(4000, "enough")
			}
		}
	}, func(e *proactortest.Env, s *proactor.Server, r *parts) {
		c := dial(e, s)
		c.Send(in(part, 0, text, "stop"))
		c.Expect(out(closing, code(4000, "enough")))
		said := string(r.got)
		c.Send(in(part, 0, cont, "late") + in(whole, 0, ping, "") + in(whole, 0, cont, "later") + in(whole, 0, closing, code(4000, "")))
		c.ExpectEnd()
		c.Close()
		e.Sleep(time.Minute)
		if string(r.got) != said || len(r.told) != 0 || len(r.causes) != 1 || r.causes[0] != proactor.ErrLocalClosed {
			e.Errorf("told %q and %q, closed with %v", r.told, r.got, r.causes)
		}
		r.got = nil
		left := dial(e, s)
		left.Send(in(part, 0, text, "half"))
		left.Close()
		e.Sleep(time.Minute)
		if len(r.told) != 0 || len(r.causes) != 2 || r.causes[1] != proactor.ErrPeerClosed {
			e.Errorf("told %q, closed with %v", r.told, r.causes)
		}
	})
}

// Where messages come in parts nothing is compressed, though the other side would: neither on a server nor on a
// client, which take what is as large as it likes.
func TestPartsAreNotCompressed(t *testing.T) {
	for _, serverParts := range []bool{true, false} {
		proactortest.Config{Seeds: testenv.Scaled(5)}.Run(t, func(e *proactortest.Env) {
			server, client := new(parts), new(parts)
			so, co := server.options(), client.options()
			if serverParts {
				co = client.recorder.options()
			} else {
				so = server.recorder.options()
			}
			so.Compression, co.Compression = websocket.ContextTakeover, websocket.NoContextTakeover
			limits := proactor.Limits{MaxMessage: 64 << 10}
			s := e.Serve(&proactor.Server{Handler: websocket.Handler(so), Limits: limits})
			c, err := websocket.Dial(context.Background(), &proactor.Dialer{Engine: e.Engine, Limits: limits}, "ws://"+s.ListenAddr().String(), nil, co)
			if err != nil {
				e.Fatal(err)
			}
			e.Sleep(time.Minute)
			sends, to := c, server
			if !serverParts {
				sends, to = server.opened[0], client
			}
			large := strings.Repeat("large ", 20_000)
			sends.Write(websocket.Text, []byte(large))
			for hours := 0; len(to.told) == 0 && hours < 100; hours++ {
				e.Sleep(time.Hour)
			}
			if n := sends.Transport().Stats().BytesOut; len(to.told) != 1 || to.told[0] != "text "+large || n < int64(len(large)) {
				e.Errorf("told %.50q, of %d bytes; closed with %v", to.told, n, to.causes)
			}
			c.Close(websocket.StatusNormal, "")
			e.Sleep(time.Hour)
		})
	}
}
