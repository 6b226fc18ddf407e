// Package websocket speaks the WebSocket protocol (RFC 6455, RFC 7692) on the loops of proactor.
//
//	echo := &websocket.Options{Message: func(c *websocket.Conn, t websocket.Type, p []byte) { c.WriteLent(t, p) }}
//	srv := &proactor.Server{Addr: ":8080", Handler: websocket.Handler(echo)}
//	log.Fatal(srv.ListenAndServe())
//
// There are three ways to a [Conn]: [Handler] upgrades on a [proactor.Server], without net/http;
// [Upgrade] takes over the connection of a request that net/http serves, behind any router; and
// [Dial] is a client. All three give a connection on a loop, without a goroutine and without
// HTTP's buffers.
//
// # Messages
//
// A WebSocket has messages, so it is no [proactor.Layer], but a handler made by
// [proactor.Messages]. A message is whole when Options.Message is called, however many frames
// and pieces it came in. It is unmasked and, where it is text, checked where the loop has received
// it; the frames of a message that is fragmented are moved together there. So what a connection
// keeps is in the books of the framework alone: Limits.MaxMessage, Limits.MinRate,
// Config.MaxInbound and Stats.Kept see the bytes of a message that is not complete, a shutdown
// waits for its end, and an idle connection has no buffer.
//
// A message may have Limits.MaxMessage bytes less 1 KiB (less half, where that is less), which are
// for the headers of its frames, and for pings between them; 2 GiB at most. The limit is the same however the
// message is fragmented and cut into pieces. A longer one is refused as soon as a header tells
// its length, with [StatusTooBig] to the peer, and [proactor.ErrTooLong] as the cause.
//
// Text that is not UTF-8 is refused at the byte at which that is certain (RFC 6455, 8.1).
//
// # Messages in parts
//
// Where Options.Part is set, it is called in the place of Message with what has come of a message, as soon as that
// has come. Nothing of it is kept but the beginning of a character, of up to three bytes, so that each part of
// a text is UTF-8 by itself; where the parts are cut has no meaning. So a message may be of any length, whatever
// Limits.MaxMessage is: the handler counts, and calls Close with [StatusTooBig]. One frame may have 4 GiB less one
// byte; for a longer one the cause is [proactor.ErrTooLong]. Control frames between the frames of a message
// are answered as they come.
//
// A message that does not end, because its connection does, has no last part: Closed tells. After Close no parts
// come any more, as no messages do. PauseRead of Conn.Transport in Part holds the next part back, which is how a
// handler is no faster than a disk. Limits.MinRate, Limits.ReadTimeout and a shutdown take a message in parts for
// one that is not complete. Where Part is set compression is not agreed on.
//
// # Compression
//
// Options.Compression has messages compressed, where the peer wants that, too, and Part is not set. Those from 128 bytes
// on are, if that makes them smaller. One that came compressed is inflated when it is whole. It counts
// against the limit of a message twice: as it comes, and, while it is inflated, as it is then. So
// what would be larger is refused, with [StatusTooBig], before there is memory for it. What cannot be
// inflated is refused with [StatusInvalidPayload], and so is a message whose compressed form is much larger than its content.
//
// No connection has a compressor. A loop has 40 KB for inflating, and the message that it has just
// inflated; each Write that compresses borrows 1.2 MB from a sync.Pool. With [ContextTakeover] a connection
// keeps what was said last, see there; it is not in the books of the framework.
//
// A server takes every offer that RFC 7692, 7.1 has: of no context, and of windows from 8 to 15 bits. The
// compressor, which always looks back 15, is given pieces of a message no larger than the window. Offers
// with parameters that RFC 7692 does not have, or values that it does not allow, are declined.
//
// # Where bytes wait
//
// Writes are those of a [proactor.Conn]: they never wait, go out in the order of the calls, and
// the marks, policies and bounds of [proactor.Limits] and [proactor.Config] apply to them.
//
// # The end
//
// [Conn.Close] sends a Close frame and waits for the peer's, up to Limits.LingerTimeout, before
// the connection is closed. [proactor.Server.Shutdown] sends [StatusGoingAway] after the last
// message that had begun. A peer that breaks the protocol is sent the code of its fault. Closed
// has a [CloseError] with what the peer's Close frame said, a [ProtocolError] for a fault of the
// peer, and otherwise the cause of the framework; [proactor.ErrPeerClosed] is a peer that left
// without a Close frame, what RFC 6455, 7.1.5 calls 1006.
package websocket
