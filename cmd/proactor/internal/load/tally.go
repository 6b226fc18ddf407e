package load

import (
	"errors"
	"io"
	"maps"
	"strings"
	"sync"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/websocket"
)

// tally counts what went wrong, by cause.
type tally struct {
	mu     sync.Mutex
	counts map[string]int64
	first  error // one example
}

func (t *tally) add(cause string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int64{}
	}
	t.counts[cause]++
	if t.first == nil {
		t.first = err
	}
}

func (t *tally) snapshot() (counts map[string]int64, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.counts {
		total += n
	}
	if counts = maps.Clone(t.counts); counts == nil {
		counts = map[string]int64{}
	}
	return counts, total
}

// Causes of failure that the load finds itself; causeOf names the others.
const (
	causeMismatch = "mismatch"     // a byte that came back is not the one sent
	causeExtra    = "extra bytes"  // more came back than was sent
	causeMissing  = "missing"      // the stream ended before all had come back
	causeTimeout  = "timeout"      // no answer for too long
	causeEarly    = "closed early" // by the server
	causeRefused  = "not upgraded" // to a WebSocket
)

// causeOf names what an error is about, in a word that does not differ from
// one connection to the next.
func causeOf(err error) string {
	for _, c := range []struct {
		err  error
		name string
	}{
		{proactor.ErrPeerClosed, causeEarly},
		{io.EOF, causeEarly},
		{port.ErrReset, "reset"},
		{port.ErrRefused, "refused"},
		{port.ErrTimeout, causeTimeout},
		{proactor.ErrIdle, causeTimeout},
		{websocket.ErrNoHandshake, causeTimeout},
		{port.ErrUnreachable, "unreachable"},
		{port.ErrAddrNotAvail, "out of addresses"},
		{port.ErrAddrInUse, "address in use"},
		{port.ErrNoDescriptors, "out of descriptors"},
		{port.ErrNoMemory, "out of memory"},
		{port.ErrNoBuffers, "out of buffers"},
		{port.ErrPermission, "permission denied"},
		{proactor.ErrBacklog, "backlog"},
		{proactor.ErrEngineClosed, "engine closed"},
	} {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	if _, ok := errors.AsType[*websocket.HandshakeError](err); ok {
		return causeRefused
	}
	if _, ok := errors.AsType[*websocket.CloseError](err); ok {
		return causeEarly
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}
