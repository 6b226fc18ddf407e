package limits_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// On a simulated clock: who is over MinRate, or is not read for some windows, goes on.
func TestMinRateSimulated(t *testing.T) {
	const window = 10 * time.Second // loops stall for a second at a time
	proactortest.Config{Seeds: testenv.Scaled(100)}.Run(t, func(e *proactortest.Env) {
		opened := make(chan *proactor.Conn, 10)
		h := rig.Lines()
		h.Opened = func(c *proactor.Conn) { opened <- c }
		s := e.Serve(&proactor.Server{Handler: h, Limits: proactor.Limits{MinRate: 10, RateWindow: window, LingerTimeout: -1}})
		between := e.Dial(s)
		between.Send("half")
		e.Sleep(window / 4)
		between.Send(" and half\n")
		between.Expect("0:half and half\n")
		<-opened

		// One that is not read for some windows, in the middle of a message. Then it has a
		// whole window again, and not the rest of the one before.
		paused := e.Dial(s)
		pc := <-opened
		paused.Send("before")
		for pc.Stats().BytesIn < int64(len("before")) {
			e.Sleep(window / 100)
		}
		var spared atomic.Bool
		pc.Post(func() {
			pc.PauseRead()
			pc.After(5*window/2, func() {
				pc.ResumeRead()
				pc.After(6*window/10, func() { pc.Abort(); spared.Store(true) })
			})
		})

		slow := e.Dial(s)
		slow.Send("whole\nbut never")
		slow.Expect("0:whole\n")
		slow.ExpectEnd()

		// Over the rate, for several windows, all of it one message.
		busy := e.Dial(s)
		piece := strings.Repeat("x", 50)
		for range 4 * window / time.Second {
			busy.Send(piece)
			e.Sleep(time.Second)
		}
		busy.Send("\n")
		busy.Expect("0:" + strings.Repeat(piece, int(4*window/time.Second)) + "\n")

		between.Send("still here\n")
		between.Expect("1:still here\n")
		if n, live := e.Engine.Stats().Limited.Slow, s.Conns(); n != 1 || live != 2 || !spared.Load() {
			e.Errorf("%d were too slow, %d connections are left; the one that was not read was spared: %v", n, live, spared.Load())
		}
	})
}
