package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
)

// Options say whose headers are believed.
type Options struct {
	// Trusted are the addresses of the proxies. If there are none, everybody is refused: a peer whose header
	// is believed can claim any address. Peers on a Unix socket are always trusted, since the mode of its file
	// says who may connect.
	Trusted []netip.Prefix
	// PassOthers lets peers that are not trusted in without a header, as if the server did not know the
	// protocol. false: they are reset before a byte of theirs is looked at.
	PassOthers bool
	// Timeout bounds the wait for the whole header; the cause is [proactor.ErrHandshake]. 0: 5 s. A proxy
	// sends it at once, and with the first bytes of its client.
	Timeout time.Duration
	// Log is told whom this has refused, and why, once a second at the most. nil: slog.Default().
	Log *slog.Logger
}

// DefaultTimeout is that of [Options], where it is not set.
const DefaultTimeout = 5 * time.Second

// ErrUntrusted: the peer is none of [Options.Trusted].
var ErrUntrusted = errors.New("proxyproto: the peer is no trusted proxy")

// Receive is for Server.Layer: each connection has to begin with a header. A trusted peer that sends none is
// refused, because nobody knows whether it speaks for itself. The causes are those of this package and proactor.ErrHandshake.
func Receive(o Options) func() proactor.Layer {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &receiver{Options: o}
	return func() proactor.Layer { return &incoming{of: r} }
}

// Of is the header that a connection began with; nil: it began with none. Any goroutine may call Of. Nobody
// may change the header.
func Of(c *proactor.Conn) *Header {
	if l, ok := c.Layer().(*incoming); ok {
		return l.header
	}
	return nil
}

// receiver is what the connections of a server have in common.
type receiver struct {
	Options
	refused atomic.Int64
	next    atomic.Int64 // when the log may be told again, in Unix nanoseconds
}

// trusts reports whether a peer at this address is a proxy whose header is believed.
func (r *receiver) trusts(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return true
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, p := range r.Trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// warn tells the log of a connection that was refused.
func (r *receiver) warn(peer net.Addr, why error) {
	n := r.refused.Add(1)
	now, next := time.Now().UnixNano(), r.next.Load()
	if now >= next && r.next.CompareAndSwap(next, now+int64(time.Second)) {
		r.Log.Warn("refused at its PROXY header", "peer", peer, "err", why, "count", n)
	}
}

// incoming is the layer of one connection, until its header is whole.
type incoming struct {
	of     *receiver
	wire   *proactor.Wire
	head   []byte // what has come of the header
	proxy  net.Addr
	header *Header // fixed when the layer is done
	err    error   // why the connection is refused
	passes bool
}

// Begin refuses a peer that is not trusted, or lets it pass.
func (l *incoming) Begin(w *proactor.Wire) {
	l.wire, l.proxy = w, w.Conn().RemoteAddr()
	switch {
	case l.of.trusts(l.proxy):
		w.SetPeer(nil) // the header will tell who it is
		w.SetTimeout(l.of.Timeout)
	case l.of.PassOthers:
		l.passes = true
		w.Ready(proactor.ErrLayerDone)
	default:
		l.err = ErrUntrusted
		w.Ready(l.err)
	}
}

// Receive takes the header, and gives what stands behind it.
func (l *incoming) Receive(wire []byte, fin bool) (plain, reply []byte, err error) {
	switch {
	case l.passes:
		return wire, nil, proactor.ErrLayerDone
	case l.err == nil:
		plain, l.err = l.take(wire, fin)
	}
	if l.err == nil && l.header != nil {
		return plain, nil, proactor.ErrLayerDone
	}
	return nil, nil, l.err
}

func (l *incoming) take(wire []byte, fin bool) (rest []byte, err error) {
	had := len(l.head)
	whole := wire
	if had > 0 {
		l.head = append(l.head, wire[:min(len(wire), MaxHeader-had)]...)
		whole = l.head
	}
	n, err := length(whole)
	switch {
	case err != nil:
		return nil, err
	case n == 0 || n > len(whole):
		if fin {
			return nil, fmt.Errorf("%w: %w", ErrNone, io.ErrUnexpectedEOF)
		}
		if had == 0 {
			l.head = bytes.Clone(wire)
		}
		return nil, nil
	}
	h, err := parse(whole[:n])
	if err != nil {
		return nil, err
	}
	h.Proxy, l.head = l.proxy, nil
	if !h.Local {
		err = l.wire.SetPeer(h.Source)
	}
	if err == nil {
		l.header = h
	}
	return wire[n-had:], err
}

// Send and CloseWrite are for layers that stay.
func (l *incoming) Send(plain []byte) ([]byte, error) { return plain, nil }
func (l *incoming) CloseWrite() []byte                { return nil }

// End tells the log of a connection that is refused.
func (l *incoming) End() {
	if l.wire == nil || l.header != nil || l.passes {
		return
	}
	why := l.err
	if why == nil {
		why = l.wire.Conn().Cause()
	}
	if why != nil && !errors.Is(why, proactor.ErrServerClosed) {
		l.of.warn(l.proxy, why)
	}
}
