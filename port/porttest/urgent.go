package porttest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/proactor-go/proactor/port"
)

var urgentTests = []test{
	{name: "UrgentRecv", run: func(e *env) { urgent(e, "tcp", urgentPlain) }},
	{name: "UrgentRecvUnix", run: func(e *env) { urgent(e, "unix", urgentPlain) }},
	{name: "UrgentStream", run: func(e *env) { urgent(e, "tcp", urgentStream) }},
	{name: "UrgentStreamUnix", run: func(e *env) { urgent(e, "unix", urgentStream) }},
	{name: "UrgentSplice", run: func(e *env) { urgentRelay(e, "tcp") }},
	{name: "UrgentSpliceUnix", run: func(e *env) { urgentRelay(e, "unix") }},
}

// urgentTexts are what a peer sends: each capital is an urgent byte. Each fits into
// the socket of a receiver that does not receive yet, and the last into no buffer of
// a backend.
var urgentTexts = []string{"abcXdef", "Xabc", "abcX", "X", "XYZ", "abXYcd", "aXbYcZd", "abcX" + strings.Repeat("d", 40_000) + "Yef"}

// urgent sends texts with urgent bytes in them, before the operation that receives
// and beside it, with a FIN at once or later. All that was sent comes, in its order,
// without more having to follow.
func urgent(e *env, network string, receive func(r *rig, from *conn, text string, send *task, end func())) {
	e.need(network)
	urgentOn(e.open(port.Config{}), network, receive)
}

func urgentOn(r *rig, network string, receive func(r *rig, from *conn, text string, send *task, end func())) {
	if r.b.Memory {
		r.Skip("a network in memory has no urgent bytes")
	}
	for i := range 4 * len(urgentTexts) {
		text, early, fin := urgentTexts[i/4], i%2 == 0, i/2%2 == 0
		c := r.pair(network)
		send := func() error {
			if err := writeUrgent(c.peer, text); err != nil || !fin {
				return err
			}
			return c.peer.CloseWrite()
		}
		if early {
			if err := send(); err != nil {
				r.Fatal(err)
			}
			send = func() error { return nil }
		}
		receive(r, c, text, r.do(send), func() {
			if !fin {
				r.await(r.do(c.peer.CloseWrite))
			}
		})
		r.close(c, false)
	}
}

func writeUrgent(c Peer, text string) error {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	for _, b := range runs(text) {
		if b[0] < 'A' || b[0] > 'Z' {
			if _, err := c.Write(b); err != nil {
				return err
			}
		} else if e := raw.Control(func(fd uintptr) { err = sendUrgent(fd, b) }); e != nil || err != nil {
			return errors.Join(e, err)
		}
	}
	return nil
}

// runs cuts a text into single capitals and what is between them.
func runs(text string) (all [][]byte) {
	for text != "" {
		n := max(1, strings.IndexAny(text, "XYZ"))
		if !strings.ContainsAny(text, "XYZ") {
			n = len(text)
		}
		all = append(all, []byte(text[:n]))
		text = text[n:]
	}
	return all
}

// same checks what arrived, and does not show all of what is long.
func (r *rig) same(got, want string) {
	r.Helper()
	if got != want {
		r.Fatalf("%d bytes %.80q arrived, want %d %.80q", len(got), got, len(want), want)
	}
}

func urgentPlain(r *rig, c *conn, text string, send *task, end func()) {
	got := ""
	for len(got) < len(text) {
		o := r.recv(c, 1000)
		r.ok(o)
		got += string(o.data)
	}
	r.same(got, text)
	r.await(send)
	end()
	r.fails(r.recv(c, 1000), io.EOF)
}

func urgentStream(r *rig, c *conn, text string, send *task, end func()) {
	o := r.stream(c)
	r.until(fmt.Sprintf("%d bytes", len(text)), func() bool { return len(o.data) >= len(text) })
	r.await(send)
	end()
	r.fails(o, io.EOF)
	r.same(string(o.data), text)
}

func urgentRelay(e *env, network string) {
	e.need(network)
	r := e.open(port.Config{})
	r.spliceable()
	urgentOn(r, network, urgentSplice)
}

func urgentSplice(r *rig, c *conn, text string, send *task, end func()) {
	to := r.pair("tcp")
	o := r.splice(c, to)
	got := make([]byte, len(text))
	r.await(send, r.do(func() error {
		_, err := io.ReadFull(to.peer, got)
		return err
	}))
	r.same(string(got), text)
	end()
	r.fails(o, io.EOF)
	r.close(to, false)
}
