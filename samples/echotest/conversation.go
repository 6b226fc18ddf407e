package echotest

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
)

// Owed is all that a server has to send, its banner included, to a client that
// has sent so many bytes and maybe a FIN: a model of the server.
type Owed func(sent []byte, fin bool) []byte

// Conversations checks some, by their names.
func Conversations(t *testing.T, addr string, sent map[string]string, owed Owed) {
	for name, text := range sent {
		t.Run(name, func(t *testing.T) { Conversation(t, addr, []byte(text), owed) })
	}
}

// Conversation checks one conversation in every way in which its bytes may
// arrive, and break off. sent should be short: some checks connect once for
// each of its bytes.
func Conversation(t *testing.T, addr string, sent []byte, owed Owed) {
	t.Run("at once", func(t *testing.T) { Answers(t, addr, sent, owed) })
	t.Run("byte by byte", func(t *testing.T) { byteByByte(t, addr, sent, owed) })
	t.Run("FIN after each byte", func(t *testing.T) {
		for i := range len(sent) + 1 {
			Answers(t, addr, sent[:i], owed)
		}
	})
	t.Run("RST after each byte", func(t *testing.T) {
		for i := range len(sent) + 1 {
			c := Dial(t, addr)
			c.SetLinger(0)
			c.Write(sent[:i])
			c.Close()
		}
		Answers(t, addr, sent, owed)
	})
	t.Run("RST after each answer", func(t *testing.T) {
		for i := range len(sent) + 1 {
			c := Dial(t, addr)
			c.SetLinger(0)
			c.Write(sent[:i])
			if err := expect(c, owed(sent[:i], false)); err != nil {
				t.Fatalf("%d bytes sent: %v", i, err)
			}
			c.Close()
		}
		Answers(t, addr, sent, owed)
	})
}

// Answers has a client send bytes at once, then a FIN: what is owed must come,
// then the end of the stream, and no reset.
func Answers(t *testing.T, addr string, sent []byte, owed Owed) {
	t.Helper()
	answers(t, addr, sent, owed, func(w io.Writer) error {
		_, err := w.Write(sent)
		return err
	})
}

func byteByByte(t *testing.T, addr string, sent []byte, owed Owed) {
	t.Helper()
	answers(t, addr, sent, owed, func(w io.Writer) error {
		for i := range sent { // each a packet of its own, when the server keeps up
			runtime.Gosched()
			if _, err := w.Write(sent[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	})
}

func answers(t *testing.T, addr string, sent []byte, owed Owed, send func(io.Writer) error) {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan error, 1)
	go func() { done <- errors.Join(send(c), c.CloseWrite()) }()
	got, err := io.ReadAll(c)
	if err = errors.Join(err, <-done); err != nil {
		t.Fatalf("%d bytes sent, %d received: %v", len(sent), len(got), err)
	}
	if err := differs(got, owed(sent, true)); err != nil {
		t.Fatalf("%d bytes sent, the last of them %q: %v", len(sent), sent[max(0, len(sent)-32):], err)
	}
}

// Ends checks the orderly end of a server in the middle of conversations. sent
// has an answer, and leaves the conversation open.
func Ends(t *testing.T, srv Server, addr string, sent []byte, answer []byte) {
	t.Helper()
	answered := Dial(t, addr)
	answered.Write(sent)
	if err := expect(answered, answer); err != nil {
		t.Fatal(err)
	}
	// How much of this one's is answered yet is not known. That it was accepted
	// is: the system would reset it otherwise.
	busy := Dial(t, addr)
	busy.Write(sent)
	if err := expect(busy, answer[:1]); err != nil {
		t.Fatal(err)
	}

	ended := Shutdown(srv, Patience)
	if rest, err := io.ReadAll(answered); err != nil || len(rest) > 0 {
		t.Fatalf("at the end: %q, %v", rest, err)
	}
	rest, err := io.ReadAll(busy)
	if err != nil || !bytes.HasPrefix(answer[1:], rest) {
		t.Fatalf("at the end: %d bytes, %v", len(rest), err)
	}
	select {
	case err := <-ended:
		t.Fatalf("ended before its clients: %v", err)
	default:
	}
	answered.Close()
	busy.Close()
	if err := Ended(t, ended); err != nil {
		t.Fatalf("did not end with its last client: %v", err)
	}
}
