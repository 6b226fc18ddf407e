// Package echotest is what the tests of samples share: servers that end with a
// test, plain clients of package net, and checks. The samples that echo all have
// to pass [Check].
package echotest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Start starts a server and returns its address. It ends with the test.
type Start func(t *testing.T) string

// Check makes all checks of an echo server, each on a server of its own.
func Check(t *testing.T, start Start) {
	for _, c := range []struct {
		name  string
		check func(t *testing.T, addr string)
	}{
		{"back and forth", backAndForth},
		{"half close", halfClose},
		{"large and slow", largeAndSlow},
		{"no bytes", noBytes},
		{"many at once", many},
		{"resets", resets},
		{"are you ok", areYouOK},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, start(t)) })
	}
}

// pattern is n bytes that differ by place and by seed.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

func backAndForth(t *testing.T, addr string) {
	c := Dial(t, addr)
	for i, size := range []int{1, 7, 64, 1023, 1024, 1025, 4096, 4097, 70000, 2} {
		want := pattern(i, size)
		go c.Write(want)
		if err := expect(c, want); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}

// halfClose: after the client's FIN the server still sends all that it owes,
// then its own, and never a reset.
func halfClose(t *testing.T, addr string) {
	for i, size := range []int{1, 1024, 200_000} {
		c := Dial(t, addr)
		want := pattern(i, size)
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(want)
			sent <- errors.Join(err, c.CloseWrite())
		}()
		got, err := io.ReadAll(c)
		if err = errors.Join(err, <-sent); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if err := differs(got, want); err != nil {
			t.Fatal(err)
		}
	}
}

// largeAndSlow: the client reads nothing until its own writes are stuck.
func largeAndSlow(t *testing.T, addr string) {
	c := Dial(t, addr)
	want := pattern(3, 16<<20)
	if runtime.GOOS == "windows" {
		want = want[:4<<20]
	}
	_, written := jam(c, want)
	got, err := io.ReadAll(c)
	if err = errors.Join(err, <-written); err != nil {
		t.Fatal(err)
	}
	if err := differs(got, want); err != nil {
		t.Fatal(err)
	}
}

func noBytes(t *testing.T, addr string) {
	c := Dial(t, addr)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func many(t *testing.T, addr string) {
	clients(t, 100, func(i int) error {
		c, err := dial(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		want := pattern(i, 3000+i)
		for round := range 3 {
			if _, err := c.Write(want); err != nil {
				return err
			}
			if err := expect(c, want); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
		return nil
	})
}

// resets: clients that reset their connections harm no other.
func resets(t *testing.T, addr string) {
	c := Dial(t, addr)
	for i := range 30 {
		bad := Dial(t, addr)
		bad.SetLinger(0)
		bad.Write(pattern(i, 100_000*(i%2)+1))
		bad.Close()
	}
	want := pattern(1, 5000)
	go c.Write(want)
	if err := expect(c, want); err != nil {
		t.Fatal(err)
	}
}

// areYouOK: 120 clients each send areyouok five times, shut down their sending
// side, read until the end of the stream, and close.
func areYouOK(t *testing.T, addr string) {
	clients(t, 120, func(int) error {
		c, err := dial(addr)
		if err != nil {
			return err
		}
		for range 5 {
			if _, err := c.Write([]byte("areyouok")); err != nil {
				return err
			}
		}
		if err := c.CloseWrite(); err != nil {
			return err
		}
		got, err := io.ReadAll(c)
		if err != nil {
			return err
		}
		return errors.Join(differs(got, bytes.Repeat([]byte("areyouok"), 5)), c.Close())
	})
}

func clients(t *testing.T, n int, run func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := run(i); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

// Drains checks the orderly end of a server: stop asks for it, and ended gets
// what the server returned. What was sent before is owed.
func Drains(t *testing.T, addr string, stop func(), ended <-chan error) {
	t.Helper()
	c := Dial(t, addr)
	idle := Dial(t, addr)
	for c, want := range map[Conn][]byte{c: pattern(9, 900), idle: []byte("x")} {
		c.Write(want)
		if err := expect(c, want); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	for _, c := range []Conn{c, idle} {
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Fatalf("at the end: %d bytes, %v", len(rest), err)
		}
	}
	if late, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		late.Close()
		t.Error("the server still accepts")
	}
	select {
	case err := <-ended:
		t.Fatalf("ended before its clients: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	c.Close()
	idle.Close()
	if err := Ended(t, ended); err != nil {
		t.Fatal(err)
	}
}

// Cuts checks that a server that is told to stop, and given little time, ends
// although a client neither reads nor closes.
func Cuts(t *testing.T, addr string, stop func(), ended <-chan error) {
	t.Helper()
	c := Dial(t, addr)
	all := pattern(1, 64<<20)
	took, _ := jam(c, all)
	if took == len(all) {
		t.Fatalf("all %d bytes were taken though nobody reads", took)
	}
	stop()
	Ended(t, ended)
	// The client is told of the reset or, where the system took all that the
	// server had to send, of its FIN.
	if n, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client was not told: %d bytes of %d, %v", n, took, err)
	}
}
