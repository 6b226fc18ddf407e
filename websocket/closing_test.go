package websocket

import (
	"bufio"
	"runtime"
	"testing"
)

// Where both sides close at the same time, the peer's Close frame does not end the connection before ours, which
// another goroutine is just sending, is out.
func TestBothClose(t *testing.T) {
	for what, see := range map[string]func(*Conn) bool{
		"the peer's Close frame": func(c *Conn) bool { return c.peerCloses(nil) == bufio.ErrFinalToken },
		"the peer's FIN":         (*Conn).saidClose,
	} {
		c := new(Conn)
		c.mu.Lock() // as sendClose does, before it writes
		c.shared.bits.Or(closingBit)
		seen := make(chan bool)
		go func() { seen <- see(c) }()
		for range 1000 {
			runtime.Gosched()
			select {
			case <-seen:
				t.Fatalf("%s ends the connection before our Close frame is out", what)
			default:
			}
		}
		c.mu.Unlock()
		if !<-seen {
			t.Errorf("%s is taken for the first", what)
		}
	}
}
