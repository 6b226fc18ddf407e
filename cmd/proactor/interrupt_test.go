package main

import (
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// canInterrupt skips a test where no process can interrupt another.
func canInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send another an interrupt on Windows")
	}
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// echoed sends a byte and waits until it is back.
func echoed(t *testing.T, c net.Conn) {
	t.Helper()
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
}

// TestInterruptDrains: after an interrupt the server accepts no more, sends
// its FIN, and ends with its last client.
func TestInterruptDrains(t *testing.T) {
	canInterrupt(t)
	servers(t, func(t *testing.T, args []string) {
		s := server(t, args...)
		c := dial(t, s.addr)
		echoed(t, c)
		s.Process.Signal(os.Interrupt)
		if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
			t.Fatalf("%d bytes, %v", len(rest), err)
		}
		if late, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			late.Close()
			t.Error("it still accepts")
		}
		c.Close()
		log := <-s.log
		if err := s.Wait(); err != nil {
			t.Errorf("%v: %s", err, log)
		}
	})
}

// TestDrainDeadline: a client that does not close is reset when --drain is
// over.
func TestDrainDeadline(t *testing.T) {
	canInterrupt(t)
	servers(t, func(t *testing.T, args []string) {
		s := server(t, append(args, "--drain", "200ms")...)
		c := dial(t, s.addr)
		echoed(t, c)
		began := time.Now()
		s.Process.Signal(os.Interrupt)
		log := <-s.log
		if err := s.Wait(); err != nil {
			t.Errorf("%v: %s", err, log)
		}
		if d := time.Since(began); d < 150*time.Millisecond || d > 5*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// TestSecondInterrupt: it does not wait for anything.
func TestSecondInterrupt(t *testing.T) {
	canInterrupt(t)
	servers(t, func(t *testing.T, args []string) {
		s := server(t, append(args, "--drain", "1h")...)
		c := dial(t, s.addr)
		echoed(t, c)
		s.Process.Signal(os.Interrupt)
		if _, err := io.ReadAll(c); err != nil {
			t.Fatal(err)
		}
		s.Process.Signal(os.Interrupt)
		<-s.log
		s.Wait()
		if status := s.ProcessState.ExitCode(); status != 1 {
			t.Errorf("status %d", status)
		}
	})
}
