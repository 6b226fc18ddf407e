package frame_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
)

// bad is a stream that a framing refuses, with the error.
type bad struct {
	stream string
	want   error
}

// refused are streams for some of the framings, by name. What the others
// refuse is a stream that is cut.
var refused = map[string][]bad{
	"Line":             {{string(bytes.Repeat([]byte("\n"), 400)), &frame.TooLongError{Max: 300, Length: 301}}},
	"LineSplitter":     {{string(bytes.Repeat([]byte("\r"), 400)), &frame.TooLongError{Max: 300, Length: 301}}},
	"LF":               {{string(bytes.Repeat([]byte("\r"), 301)), &frame.TooLongError{Max: 300, Length: 301}}},
	"LongDelim":        {{string(bytes.Repeat([]byte("-"), 100)), &frame.TooLongError{Max: 70, Length: 71}}},
	"Length1Inclusive": {{"\x00more", &frame.ShortLengthError{Length: 0, Header: 1}}},
	"Length2":          {{"\xff\xff", &frame.TooLongError{Max: 400, Length: 65535}}},
	"Length2Little":    {{"\x01\x00x", &frame.ShortLengthError{Length: 1, Header: 2}}},
	"Length4":          {{"\x00\x01\x11\x71", &frame.TooLongError{Max: 70_000, Length: 70_001}}},
	"Length8":          {{"\xff\xff\xff\xff\xff\xff\xff\xff", &frame.TooLongError{Max: 500, Length: 1<<64 - 1}}},
	"Length8Little":    {{"\x07\x00\x00\x00\x00\x00\x00\x00", &frame.ShortLengthError{Length: 7, Header: 8}}},
	"Varint": {
		{"\x80\x00", &frame.VarintError{Overlong: true}},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", &frame.VarintError{}},
		{"\x91\x03", &frame.TooLongError{Max: 400, Length: 401}},
	},
}

// However a stream arrives, over whatever network, a server is given exactly the
// messages that were written, and then is told by the right error why there are
// no more. Where the network breaks the connection, it has been given the first
// of them.
func TestProperties(t *testing.T) {
	for network, sim := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		for _, f := range framings {
			t.Run(network+"/"+f.name, func(t *testing.T) {
				seeds := 16
				if runtime.GOOS == "windows" {
					seeds = 2
				}
				// Few small buffers: messages are put together from many.
				cfg := proactortest.Config{Seeds: seeds, Network: sim, Engine: proactor.Config{Loops: 1, BufferSize: 64, BufferCount: 4}}
				cfg.Run(t, func(e *proactortest.Env) {
					c := newCutting(e, f.w, f.most, f.fixed, refused[f.name])
					c.run(f.split, network == "fair")
				})
			})
		}
	}
}

// cutting is one run: messages, written one after the other, and an end.
type cutting struct {
	*proactortest.Env
	msgs   []string
	stream []byte
	want   error // that the server is told at the end
	got    []string
	ended  error
	ends   int
	closed chan error
}

func newCutting(e *proactortest.Env, w writer, most int, fixed bool, ends []bad) *cutting {
	c := &cutting{Env: e, want: proactor.ErrPeerClosed, closed: make(chan error, 1)}
	for range 1 + e.Rand.IntN(12) {
		size := e.Rand.IntN(most + 1)
		switch {
		case fixed || e.Rand.IntN(8) == 0:
			size = min(most, 5000)
		case e.Rand.IntN(2) == 0:
			size = min(size, e.Rand.IntN(40))
		}
		msg := make([]byte, min(size, 5000))
		for i := range msg {
			msg[i] = byte(e.Rand.IntN(256)) // often half a delimiter
			if e.Rand.IntN(4) == 0 {
				msg[i] = "\r-=_"[e.Rand.IntN(4)]
			}
		}
		if stream, err := w.Append(c.stream, msg); err == nil { // else there is a delimiter in it
			c.stream = stream
			c.msgs = append(c.msgs, string(msg))
		}
	}
	switch e.Rand.IntN(3) {
	case 0: // a message more, that is cut
		last := len(c.msgs) - 1
		if last < 0 {
			break
		}
		whole, _ := w.Append(nil, []byte(c.msgs[last]))
		if n := e.Rand.IntN(len(whole)); n > 0 {
			c.stream = append(c.stream, whole[:n]...)
			c.want = &frame.CutError{Have: n}
		}
	case 1:
		if len(ends) > 0 {
			end := ends[e.Rand.IntN(len(ends))]
			c.stream = append(c.stream, end.stream...)
			c.want = end.want
		}
	}
	return c
}

func (c *cutting) run(split func() bufio.SplitFunc, fair bool) {
	s := c.Serve(&proactor.Server{
		Limits: proactor.Limits{IdleTimeout: time.Hour},
		Handler: proactor.Handler{
			NewSplit: split,
			Message: func(_ *proactor.Conn, msg []byte) {
				if c.ends > 0 {
					c.Errorf("a message of %d bytes after the end", len(msg))
				}
				c.got = append(c.got, string(msg))
			},
			Ended: func(conn *proactor.Conn, why error) {
				c.ends++
				c.ended = why
				conn.Close()
			},
			Closed: func(_ *proactor.Conn, cause error) { c.closed <- cause },
		}})
	client, err := c.Net.Dial(c.Context(), "tcp", s.ListenAddr().String())
	if err != nil {
		if fair {
			c.Error(err)
		}
		return
	}
	defer client.Close()
	for rest := c.stream; len(rest) > 0; {
		n := 1 + c.Rand.IntN(min(len(rest), 1<<c.Rand.IntN(12)))
		if _, err := client.Write(rest[:n]); err != nil {
			break // seen by what the server was told
		}
		rest = rest[n:]
		if c.Rand.IntN(8) == 0 {
			c.Sleep(time.Duration(c.Rand.IntN(200)) * time.Millisecond)
		}
	}
	client.CloseWrite()
	_, err = io.Copy(io.Discard, client)
	if fair && err != nil {
		c.Errorf("the client was told %v", err)
	}
	c.Net.Calm()
	client.Close()
	c.check(fair, <-c.closed)
}

func (c *cutting) check(fair bool, cause error) {
	if c.ends == 0 { // it broke, or the client's word of that was lost
		if fair {
			c.Errorf("Ended was not called; closed with %v", cause)
		}
		if len(c.got) > len(c.msgs) {
			c.Fatalf("%d messages came, %d were sent", len(c.got), len(c.msgs))
		}
		if diff := cmp.Diff(c.msgs[:len(c.got)], c.got); len(c.got) > 0 && diff != "" {
			c.Errorf("messages (-want +got)\n%s", diff)
		}
		return
	}
	if diff := cmp.Diff(c.msgs, c.got); diff != "" {
		c.Errorf("messages (-want +got)\n%s", diff)
	}
	var cut *frame.CutError
	if want, ok := c.want.(*frame.CutError); ok {
		if !errors.As(c.ended, &cut) || cut.Have != want.Have {
			c.Errorf("ended with %v, want %v", c.ended, want)
		}
		return
	}
	if !errors.Is(c.ended, c.want) && !same(c.ended, c.want) {
		c.Errorf("ended with %v, want %v", c.ended, c.want)
	}
	if c.ends != 1 {
		c.Errorf("Ended was called %d times", c.ends)
	}
}
