package pollset

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
)

func listener(t *testing.T) (Socket, string) {
	t.Helper()
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, l.LocalAddr().String()
}

// pair gives a connection, one end of each sort.
func pair(t *testing.T) (Socket, *net.TCPConn) {
	t.Helper()
	l, addr := listener(t)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	await(t, l, Readable)
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err != ErrNotReady {
		t.Fatalf("a second connection: %v", err)
	}
	c.SetDeadline(time.Now().Add(must.Lifetime))
	return s, c.(*net.TCPConn)
}

// await polls one socket until something comes.
func await(t *testing.T, s Socket, want Events) Events {
	t.Helper()
	set := []Entry{Watch(s, want)}
	n, err := Poll(set, must.Patience)
	if n != 1 || err != nil {
		t.Fatalf("poll: %d, %v", n, err)
	}
	return set[0].Got()
}

func TestReadWrite(t *testing.T) {
	s, c := pair(t)
	defer s.Close()
	var b [16]byte
	if _, err := s.Read(b[:]); err != ErrNotReady {
		t.Fatalf("nothing there: %v", err)
	}
	set := []Entry{Watch(s, Readable)}
	if n, err := Poll(set, 20*time.Millisecond); n != 0 || err != nil || set[0].Got() != 0 {
		t.Fatalf("nothing there: %d, %v, %v", n, err, set[0].Got())
	}
	if got := await(t, s, Readable|Writable); got != Writable {
		t.Errorf("got %v, not Writable", got)
	}
	c.Write([]byte("hello"))
	if got := await(t, s, Readable); got != Readable {
		t.Errorf("got %v, not Readable", got)
	}
	if n, err := s.Read(b[:]); err != nil || string(b[:n]) != "hello" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	if n, err := s.Write([]byte("world")); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "world" {
		t.Fatalf("%q, %v", got, err)
	}
	c.Write([]byte("!")) // the other direction still works
	await(t, s, Readable)
	if n, err := s.Read(b[:]); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	c.Close()
	await(t, s, Readable)
	if _, err := s.Read(b[:]); err != io.EOF {
		t.Fatal(err)
	}
}

func TestFull(t *testing.T) {
	s, c := pair(t)
	defer s.Close()
	b := make([]byte, 64<<10)
	sent, unready := 0, 0
	set := []Entry{Watch(s, Writable)}
	for full := false; !full; { // what is on its way may find room further on
		n, err := s.Write(b)
		if err != nil && err != ErrNotReady {
			t.Fatal(err)
		}
		if sent += n; err == nil {
			unready = 0
			continue
		}
		ready, _ := Poll(set, 0)
		if full = ready == 0; !full {
			if unready++; unready == 100 {
				t.Fatal("writable, but a write is not ready")
			}
		}
	}
	if _, err := io.CopyN(io.Discard, c, int64(sent)); err != nil {
		t.Fatal(err)
	}
	if got := await(t, s, Writable); got != Writable {
		t.Errorf("got %v", got)
	}
}

// TestReset: also a socket for which nothing is awaited fails.
func TestReset(t *testing.T) {
	s, c := pair(t)
	defer s.Close()
	c.SetLinger(0)
	c.Close()
	if got := await(t, s, 0); got&Failed == 0 {
		t.Errorf("got %v", got)
	}
	var b [1]byte
	_, err := s.Read(b[:])
	if err == io.EOF && runtime.GOOS == "windows" {
		t.Skip("a reset that was polled for reads as the end of the stream: so does Wine")
	}
	if err == nil || err == io.EOF || err == ErrNotReady {
		t.Error(err)
	}
}

func TestAbort(t *testing.T) {
	s, c := pair(t)
	time.AfterFunc(50*time.Millisecond, s.Abort)
	porttest.Reset(t, c)
}

func TestWaker(t *testing.T) {
	w, err := NewWaker()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range 3 {
		woken := make(chan struct{})
		time.AfterFunc(20*time.Millisecond, func() { w.Wake(); w.Wake(); close(woken) })
		if got := await(t, w.Socket(), Readable); got != Readable {
			t.Fatalf("got %v", got)
		}
		<-woken // by the second, too
		w.Clear()
		set := []Entry{Watch(w.Socket(), Readable)}
		if n, _ := Poll(set, 0); n != 0 {
			t.Fatal("still awake")
		}
	}
}

func TestListenErrors(t *testing.T) {
	l, _ := listener(t)
	if _, err := Listen(l.LocalAddr()); err == nil {
		t.Error("two listeners at one address")
	}
	if _, err := Listen(netip.MustParseAddrPort("192.0.2.1:0")); err == nil {
		t.Error("a listener at an address of another machine")
	}
}

func TestWildcard(t *testing.T) {
	l, err := Listen(netip.AddrPortFrom(netip.IPv6Unspecified(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), l.LocalAddr().Port()).String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestPollTime(t *testing.T) {
	s, _ := pair(t)
	defer s.Close()
	began := time.Now()
	if n, err := Poll([]Entry{Watch(s, Readable)}, 30*time.Millisecond); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if d := time.Since(began); d < 29*time.Millisecond {
		t.Errorf("returned after %v", d)
	}
}
