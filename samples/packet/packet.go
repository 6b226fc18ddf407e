// Package packet echoes packets that begin with their length: whole packets
// only, never a part of one.
//
// What to look at: the framing is a value of package frame, given to the
// handler as Split. How packets were cut or glued together on the way does not
// show; the handler gets each one whole. A length that cannot be makes Ended
// the last callback before Closed: the echoes that are owed go out, then a line that
// says what was wrong, then the FIN.
package packet

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

// Banner is what a client is greeted with.
const Banner = "Welcome to packet echo server\r\n"

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Header, in bytes, is the size of the length: 1, 2, 4 or 8. 0: 1.
	Header int
	// Order is that of the bytes of the length. nil: little-endian.
	Order binary.ByteOrder
	// BodyOnly says that the length counts what follows it. By default it
	// counts the header, too.
	BodyOnly bool
	// MaxPacket, in bytes, bounds a packet as it is on the wire, header
	// included, whatever the length counts. It must be above Header and at most
	// MostPacket. 0: 1 MiB.
	MaxPacket int
	// Banner greets each client.
	Banner bool
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for
	// each connection that has ended. nil: slog.Default().
	Log *slog.Logger
}

// MostPacket, in bytes, is the most that Options.MaxPacket may be.
const MostPacket = 256 << 20

// New makes the server. An error says which of the options makes no sense.
func New(o Options) (*proactor.Server, error) {
	o.Header = cmp.Or(o.Header, 1)
	o.Order = cmp.Or[binary.ByteOrder](o.Order, binary.LittleEndian)
	o.MaxPacket = cmp.Or(o.MaxPacket, 1<<20)
	o.Log = cmp.Or(o.Log, slog.Default())
	switch o.Header {
	case 1, 2, 4, 8:
	default:
		return nil, fmt.Errorf("packet: a header of %d bytes; it must have 1, 2, 4 or 8", o.Header)
	}
	if o.MaxPacket <= o.Header || o.MaxPacket > MostPacket {
		return nil, fmt.Errorf("packet: a maximum of %d bytes; it must be above the header's %d and at most %d",
			o.MaxPacket, o.Header, MostPacket)
	}
	h := proactor.Handler{
		Split: frame.Length{
			Bytes: o.Header, Order: o.Order, Inclusive: !o.BodyOnly, Whole: true, Max: o.MaxPacket - o.Header,
		}.Split,
		Message: echo,
		Ended:   o.ended,
		Closed: func(c *proactor.Conn, cause error) {
			o.Log.Debug("closed", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
		},
	}
	if o.Banner {
		h.Opened = func(c *proactor.Conn) { c.Write([]byte(Banner)) }
	}
	return &proactor.Server{Addr: o.Addr, Handler: h, Limits: o.limits(), Engine: o.Engine, Log: o.Log}, nil
}

// highWater is where reads pause until the client has taken some of its
// echoes.
const highWater = 256 << 10

// limits have room for the largest packet: on its way in, and on its way out
// behind echoes that wait, up to the high mark.
func (o *Options) limits() proactor.Limits {
	return proactor.Limits{
		MaxMessage: o.MaxPacket,
		HighWater:  highWater,
		MaxPending: highWater + o.MaxPacket + 4<<10, // and a last line
	}
}

// echo gets a whole packet, header included. A write fails when the bytes that
// wait on all connections together reach the engine's limit. Then this
// connection ends rather than go on with a hole in what it echoes.
func echo(c *proactor.Conn, packet []byte) {
	if _, err := c.WriteLent(packet); err != nil {
		c.Abort()
	}
}

// ended is called when there are no more packets: the client has closed its
// side, maybe within a packet, which is dropped; or its last length was wrong.
func (o *Options) ended(c *proactor.Conn, why error) {
	if text := o.complaint(why); text != "" {
		c.Write([]byte(text))
	}
	c.Close()
}

// complaint is the line for a length that was refused; both its numbers count
// what the length counts. Empty: nothing was.
func (o *Options) complaint(why error) string {
	var short *frame.ShortLengthError
	var long *frame.TooLongError
	switch {
	case errors.As(why, &short):
		return fmt.Sprintf("Bad packet: its length is %d, but the header alone has %d! Go away!\r\n", short.Length, short.Header)
	case errors.As(why, &long):
		length, most := long.Length, uint64(long.Max) // of the body
		if !o.BodyOnly {
			length, most = length+uint64(o.Header), most+uint64(o.Header)
		}
		return fmt.Sprintf("Bad packet: its length is %d, over the maximum of %d! Go away!\r\n", length, most)
	}
	return ""
}
