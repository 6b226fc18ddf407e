package system_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// beHeir says which sockets and rings it has from its parent.
func beHeir([]string) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	var has []string
	for _, entry := range entries {
		to, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		if strings.HasPrefix(to, "socket:") || strings.Contains(to, "io_uring") {
			has = append(has, to)
		}
	}
	fmt.Println(len(has), has)
	return nil
}

// Processes are forked while rings are open and receive. They inherit nothing, and
// nothing that is on its way is lost or comes twice.
func TestForkedMeanwhile(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		relay := r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Relay(c) }})
		var done atomic.Bool
		var talking sync.WaitGroup
		for i, at := range []net.Addr{s.ListenAddr(), s.ListenAddr(), relay.ListenAddr(), relay.ListenAddr()} {
			c := must.Dial(t, at)
			talking.Go(func() {
				for n := uint64(i); !done.Load() && !t.Failed(); n += 4 {
					sent := must.Pattern(n, 50_000)
					must.Send(t, c, sent)
					must.Read(t, c, sent)
				}
			})
		}
		for range testenv.Scaled(30) {
			if line := spawn(t, nil, "heir").says(); line != "0 []" {
				t.Errorf("a child has %s", line)
			}
		}
		done.Store(true)
		talking.Wait()
	})
}
