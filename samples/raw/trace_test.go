package raw

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// traced is a server with one worker and one client so far, which is gone.
type traced struct {
	trace lines
	peer  string // the client's address
	stop  func()
	ended <-chan error
}

// waits is how the trace shows a worker that has nothing to do.
const waits = `worker  1  call        dequeue     port +waits`

func trace(t *testing.T, backend string, duplex bool, talk func(c echotest.Conn, s *traced)) *traced {
	t.Helper()
	s := &traced{}
	var addr string
	addr, s.stop, s.ended = start(t, Options{Backend: backend, Workers: 1, Duplex: duplex, Trace: &s.trace, Drain: within(5 * time.Second)})
	s.until(t, waits)
	c := echotest.Dial(t, addr)
	s.peer = regexp.QuoteMeta(c.LocalAddr().String())
	talk(c, s)
	c.Close()
	s.until(t, `completion  close       conn 1`)
	s.stop()
	if err := echotest.Ended(t, s.ended); err != nil {
		t.Fatal(err)
	}
	return s
}

// until waits for a line.
func (s *traced) until(t *testing.T, line string) {
	t.Helper()
	has := regexp.MustCompile(line)
	echotest.Until(t, line, func() bool { return has.MatchString(s.trace.String()) })
}

// has checks that lines stand in the trace, in this order. PEER is the client.
func (s *traced) has(t *testing.T, wants ...string) {
	t.Helper()
	rest := s.trace.String()
	for _, w := range wants {
		w = `(?m)^ +\d+\.\d{6}  ` + strings.ReplaceAll(w, "PEER", s.peer+" *")
		at := regexp.MustCompile(w).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("not found, in order: %s\nin:\n%s", w, s.trace.String())
		}
		rest = rest[at[1]:]
	}
}

// A connection's life, as the trace of the plain form tells it.
func TestTrace(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := trace(t, backend, false, func(c echotest.Conn, _ *traced) {
			c.Write([]byte("12345"))
			c.CloseWrite()
			if got, err := io.ReadAll(c); err != nil || string(got) != "12345" {
				t.Fatalf("%q, %v", got, err)
			}
		})
		s.has(t,
			`main       call        open        port`,
			`main       note        opened      port +`+backend,
			`main       call        listen      listener +127\.0\.0\.1:0`,
			`main       note        listening   listener +127\.0\.0\.1:\d+`,
			`main       call        accept      listener`,
			waits,
			`worker  1  completion  accept      listener`,
			`worker  1  call        associate   conn 1 `,
			`worker  1  note        accepted    conn 1    PEER handle`,
			`worker  1  call        recv        conn 1    PEER 4096 bytes`,
			waits,
			`worker  1  completion  recv        conn 1    PEER 5 bytes`,
			`worker  1  call        send        conn 1    PEER 5 bytes`,
			`worker  1  completion  send        conn 1    PEER 5 bytes`,
			`worker  1  call        recv        conn 1    PEER 4096 bytes`,
			`worker  1  completion  recv        conn 1    PEER 0 bytes, EOF`,
			`worker  1  call        shutdown    conn 1    PEER`,
			`worker  1  completion  shutdown    conn 1    PEER`,
			`worker  1  call        close       conn 1    PEER`,
			`worker  1  completion  close       conn 1    PEER`,
			waits,
			`worker  1  completion  close       listener`,
			`main       call        close       port`,
		)
	})
}

// The classic scenario: main accepts, associates and posts; a worker dequeues what was
// posted, starts the operation, and keeps a recv and a send outstanding.
func TestTraceDuplex(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := trace(t, backend, true, func(c echotest.Conn, s *traced) {
			c.Write([]byte("12345"))
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			s.until(t, `completion  send        conn 1 `) // the FIN's may come before it
			c.CloseWrite()
			if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
				t.Fatalf("%q, %v", got, err)
			}
		})
		s.has(t,
			`main       call        accept      listener`,
			`main       call        dequeue     listener +waits`,
			`main       completion  accept      listener`,
			`main       call        associate   conn 1 `,
			`main       note        accepted    conn 1    PEER handle`,
			`main       call        post        conn 1    PEER recv`,
			`worker  1  completion  post        conn 1    PEER`,
			`worker  1  call        recv        conn 1    PEER 4096 bytes`,
			waits,
			`worker  1  completion  recv        conn 1    PEER 5 bytes`,
			`worker  1  call        recv        conn 1    PEER 4096 bytes`,
			`worker  1  call        send        conn 1    PEER 5 bytes`,
			`worker  1  completion  send        conn 1    PEER 5 bytes`,
			`worker  1  completion  recv        conn 1    PEER 0 bytes, EOF`,
			`worker  1  call        shutdown    conn 1    PEER`,
			`worker  1  completion  shutdown    conn 1    PEER`,
			`worker  1  call        close       conn 1    PEER`,
			`worker  1  completion  close       conn 1    PEER`,
			`main       completion  post `,
			`main       call        close       listener`,
			`main       call        post        port +quit`,
			`main       call        close       port`,
		)
	})
}

// While a client does not take what is sent to it, a recv is outstanding beside the send
// until its buffer is full, and no more is received than that.
func TestDuplexIsBounded(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		var tr lines
		addr, _, _ := start(t, Options{Backend: backend, Workers: 3, Duplex: true, Trace: &tr})
		c := echotest.Dial(t, addr)
		c.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		echotest.Until(t, "the recv is outstanding", func() bool {
			return outstanding(tr.String(), "recv") == 1 && outstanding(tr.String(), "send") == 0
		})
		stuck := make(chan struct{})
		go func() { // until the test ends
			defer close(stuck)
			for b := make([]byte, 64<<10); ; {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}()
		echotest.Until(t, "both buffers are full", func() bool {
			s := tr.String()
			return outstanding(s, "send") == 1 && outstanding(s, "recv") == 0
		})
		c.Close()
		<-stuck
	})
}

// outstanding counts calls without completions.
func outstanding(trace, operation string) int {
	return strings.Count(trace, "call        "+operation) - strings.Count(trace, "completion  "+operation)
}

// lines is a buffer for several goroutines.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
