package load

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/samples/minimal"
	"github.com/proactor-go/proactor/websocket"
)

func echoServer(t *testing.T, backend string) string {
	srv := minimal.New("127.0.0.1:0")
	srv.Engine = echotest.Engine(t, backend)
	return echotest.Listen(t, srv)
}

// TestNoGarbage: neither the client nor the server makes any for a message,
// and no connection has a goroutine.
func TestNoGarbage(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		noGarbage(t, Options{To: echoServer(t, backend), Backend: backend})
	})
}

// Nor do the WebSockets of both, whether the server lends the message back or copies it.
func TestNoGarbageOfSockets(t *testing.T) {
	for name, echo := range map[string]func(*websocket.Conn, websocket.Type, []byte) error{
		"WriteLent": (*websocket.Conn).WriteLent, "Write": (*websocket.Conn).Write,
	} {
		t.Run(name, func(t *testing.T) {
			porttest.Each(t, func(t *testing.T, backend string) {
				srv := &proactor.Server{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Handler: websocket.Handler(&websocket.Options{
					Message: func(c *websocket.Conn, t websocket.Type, p []byte) { echo(c, t, p) },
				})}
				noGarbage(t, Options{To: echotest.Listen(t, srv), Path: "/", Backend: backend})
			})
		})
	}
}

func noGarbage(t *testing.T, o Options) {
	if o.Backend == "std" {
		t.Skip("a goroutine a connection is what this backend is made of")
	}
	if testenv.Race {
		t.Skip("the race detector has pools forget")
	}
	o.Loops, o.Conns, o.Pipeline, o.Count = 1, 50, 4, 20
	mallocs := func() uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := Echo(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	mallocs()
	few := mallocs()
	// So many more that what differs from run to run, some fifty allocations,
	// is nothing beside one for each.
	o.Count += 200
	many := mallocs()
	each := (float64(many) - float64(few)) / float64(50*(o.Count-20))
	if each > 0.05 {
		t.Errorf("%.2f allocations a message", each)
	}
}

func TestNoGoroutines(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		if backend == "std" {
			t.Skip("a goroutine a connection is what this backend is made of")
		}
		ctx, cancel := context.WithTimeout(t.Context(), echotest.Life)
		defer cancel()
		o := Options{To: echoServer(t, backend), Backend: backend, Loops: 1, Conns: 200, Idle: true, Duration: time.Hour}
		before, most := runtime.NumGoroutine(), 0
		o.Progress = lines(func(line string) {
			if strings.Contains(line, "200 open") {
				most = runtime.NumGoroutine()
				cancel()
			}
		})
		r, err := Echo(ctx, o)
		if err != nil || r.Connections.Clean != 200 || r.Connections.Failed != 0 {
			t.Fatal(err, r)
		}
		if n := most - before; most == 0 || n > 20 {
			t.Errorf("%d goroutines for %d connections", n, o.Conns)
		}
	})
}

// lines is told each line of a run's progress.
type lines func(line string)

func (f lines) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}

// TestCancel: a run that is canceled ends, also where no answer comes; those
// that were owed are told as such.
func TestCancel(t *testing.T) {
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var asked atomic.Int64
		srv := &proactor.Server{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Handler: proactor.Handler{
			Data: func(_ *proactor.Conn, p []byte) int { // and does not answer
				if asked.Add(int64(len(p))) == 3*64 {
					cancel()
				}
				return len(p)
			},
		}}
		o := Options{To: echotest.Listen(t, srv), Backend: backend, Conns: 3, Size: 64, Count: 1, Timeout: time.Second}
		r, err := Echo(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Interrupted || r.Errors[causeTimeout] != 3 {
			t.Errorf("%+v", r)
		}
	})
}

// TestConnectRate: connects are made no faster than asked for.
func TestConnectRate(t *testing.T) {
	t.Parallel()
	began := time.Now()
	r, err := Echo(t.Context(), Options{To: echoServer(t, ""), Conns: 60, Count: 1, ConnectRate: 100, Connecting: 1})
	if err != nil || r.Err() != nil {
		t.Fatal(err, r)
	}
	if d := time.Since(began); d < 450*time.Millisecond {
		t.Errorf("60 connects at 100/s took %v", d)
	}
}

// TestBurst: what is due at once is not sent one after the other.
func TestBurst(t *testing.T) {
	t.Parallel()
	r, err := Echo(t.Context(), Options{To: echoServer(t, ""), Conns: 50, Count: 2, Rate: 25, Burst: 100})
	if err != nil || r.Err() != nil || r.Messages != 100 {
		t.Fatal(err, r)
	}
	if r.Seconds > 3 { // the last would be due after almost 4
		t.Errorf("a burst took %v s", r.Seconds)
	}
}

// TestLateAnswersCount: with a rate, a server that stops for a while is seen in
// the latencies of all messages that were due meanwhile.
func TestLateAnswersCount(t *testing.T) {
	t.Parallel()
	const stall = 300 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 4096)
		for n := 0; ; {
			k, err := c.Read(b)
			if err != nil {
				return
			}
			if n < 100*64 && n+k >= 100*64 {
				time.Sleep(stall)
			}
			n += k
			c.Write(b[:k])
		}
	}()
	r, err := Echo(t.Context(), Options{To: l.Addr().String(), Conns: 1, Rate: 500, Count: 400, Timeout: echotest.Patience})
	if err != nil || r.Err() != nil {
		t.Fatal(err, r)
	}
	// 150 of 400 messages were due in the pause: half a pause on average.
	if p90 := time.Duration(r.Latency.P90 * 1e3); p90 < stall/4 {
		t.Errorf("p90 is %v", p90)
	}
}

// TestBegin: when all are connected, messages still wait for Begin, and so does
// Duration; a run that waits can be canceled.
func TestBegin(t *testing.T) {
	t.Parallel()
	o := Options{To: echoServer(t, ""), Conns: 5, Duration: time.Millisecond}
	begin := make(chan struct{})
	o.Begin = begin
	held := 0
	o.Progress = lines(func(line string) {
		if strings.Contains(line, "5 open  0 messages") {
			if held++; held == 2 {
				close(begin)
			}
		}
	})
	r, err := Echo(t.Context(), o)
	if err != nil || r.Err() != nil || held < 2 || r.Messages < 5 || r.Connections.Clean != 5 {
		t.Errorf("%v, held %d times: %+v", err, held, r)
	}

	ctx, cancel := context.WithTimeout(t.Context(), echotest.Patience)
	defer cancel()
	o.Begin = make(chan struct{})
	o.Progress = lines(func(line string) {
		if strings.Contains(line, "5 open") {
			cancel()
		}
	})
	r, err = Echo(ctx, o)
	if err != nil || !r.Interrupted || r.Messages != 0 || r.Connections.Clean != 5 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	r, err := Echo(t.Context(), Options{To: echoServer(t, ""), Conns: 2, Duration: 1200 * time.Millisecond, Rate: 50, Progress: &b})
	if err != nil || r.Err() != nil {
		t.Fatal(err, r)
	}
	if s := b.String(); !strings.Contains(s, "2 open") || strings.Contains(s, "\n") || !strings.HasSuffix(s, "\r") {
		t.Errorf("%q", s)
	}
}
