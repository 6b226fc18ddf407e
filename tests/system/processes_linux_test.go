package system_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// beClients is a number of clients of the server at an address, of which each
// says hello and then reads what comes. For each line of the standard input it
// tells how many bytes came, and how many of the clients have ended.
func beClients(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var bytes, ended atomic.Int64
	var greeted sync.WaitGroup
	for range n {
		c, err := net.DialTimeout("tcp", args[0], must.Patience)
		if err != nil {
			return err
		}
		defer c.Close()
		greeted.Add(1)
		go func() {
			defer ended.Add(1)
			_, err := c.Write([]byte("hello"))
			greeted.Done()
			for b := make([]byte, 64<<10); err == nil; {
				var n int
				n, err = c.Read(b)
				bytes.Add(int64(n))
			}
		}()
	}
	greeted.Wait()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(bytes.Load(), ended.Load())
	}
	return nil
}

// A process of clients is stopped, goes on, is stopped for good and killed. What
// waits for it is bounded meanwhile, others are served, nothing is lost that it
// could still have, and in the end all its connections are told.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		const clients, most = 10, 256 << 10
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { return len(p) }},
			rig.Limits(proactor.Limits{HighWater: most / 4, MaxPending: most, Overflow: proactor.RejectWrites}))
		other := r.Serve(proactor.Handler{Data: rig.Echo})
		good := rig.Client(t, other)
		r.Accepted()
		far := spawn(t, nil, "clients", s.ListenAddr().String(), fmt.Sprint(clients))
		if line := far.says(); line != "ready" {
			t.Fatal(line)
		}
		conns := make([]*proactor.Conn, clients)
		for i := range conns {
			conns[i] = r.Accepted()
		}
		written := int64(0)
		piece := must.Pattern(1, 100_000)
		// fill writes to each until there is no room, while the good one is served.
		fill := func() {
			t.Helper()
			for _, c := range conns {
				must.Eventually(t, "no room", func() bool {
					n, err := c.Write(piece)
					written += int64(n)
					if p := c.Stats().Pending; p > most {
						t.Fatalf("%d bytes wait", p)
					}
					return errors.Is(err, proactor.ErrBacklog)
				})
				must.Ask(t, good, "still here")
			}
		}
		var bytes, ended int64
		for range 2 {
			far.signal(syscall.SIGSTOP)
			far.stopped()
			fill()
			far.signal(syscall.SIGCONT)
			must.Eventually(t, "all comes", func() bool {
				far.ask("?", &bytes, &ended)
				return bytes == written && ended == 0
			})
		}
		far.signal(syscall.SIGSTOP)
		far.stopped()
		// The system of one that is stopped takes more for a while, so go on.
		var push func(c *proactor.Conn)
		push = func(c *proactor.Conn) {
			c.Write(piece)
			c.After(time.Millisecond, func() { push(c) })
		}
		for i, c := range conns {
			c.After(0, func() { push(c) })
			if i < clients/2 {
				c.SetWriteTimeout(10 * must.Short)
			}
		}
		for range conns[:clients/2] {
			r.Ends(proactor.ErrWriteTimeout)
		}
		must.Ask(t, good, "still here")
		far.signal(syscall.SIGKILL)
		for range conns[clients/2:] {
			r.Ends(port.ErrReset) // it had not read all that its system had
		}
		must.Ask(t, good, "still here")
		rig.Limited(t, r, proactor.LimitCounts{Write: clients / 2, Writes: r.Engine.Stats().Limited.Writes})
	})
}

// Processes of clients are killed in the middle of a conversation.
func TestKilledProcess(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const clients = 50
		r := rig.New(t, backend)
		var push func(c *proactor.Conn)
		push = func(c *proactor.Conn) { // for ever
			c.Write(make([]byte, 1000))
			c.After(0, func() { push(c) })
		}
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { push(c); return len(p) }})
		good := rig.Client(t, r.Serve(proactor.Handler{Data: rig.Echo}))
		r.Accepted()
		for range 3 {
			far := spawn(t, nil, "clients", s.ListenAddr().String(), fmt.Sprint(clients))
			if line := far.says(); line != "ready" {
				t.Fatal(line)
			}
			var bytes, ended int64
			must.Eventually(t, "they hear", func() bool {
				far.ask("?", &bytes, &ended)
				return bytes > clients*1000
			})
			far.signal(syscall.SIGKILL)
			for range clients {
				r.Accepted()
				if e := must.Take(t, "Closed", r.Closed); !errors.Is(e.Cause, port.ErrReset) && !errors.Is(e.Cause, proactor.ErrPeerClosed) {
					t.Errorf("closed with %v", e.Cause)
				}
			}
			must.Ask(t, good, "still here")
		}
	})
}
