package proxyproto

import "github.com/proactor-go/proactor"

// Send is for Dialer.Layer: each connection begins with this header, before TLS where the Dialer has that. A
// proxy uses a copy of its Dialer for each client:
//
//	d := p.dialer
//	d.Layer, err = proxyproto.Send(proxyproto.For(client, 2))
//
// The error is that of [Header.Format].
func Send(h *Header) (func() proactor.Layer, error) {
	b, err := h.Format()
	if err != nil {
		return nil, err
	}
	return func() proactor.Layer { return outgoing(b) }, nil
}

// outgoing is the layer of a connection that begins with these bytes.
type outgoing []byte

// Begin sends them.
func (o outgoing) Begin(w *proactor.Wire) {
	err := w.Send(o)
	if err == nil {
		err = proactor.ErrLayerDone
	}
	w.Ready(err)
}

// Receive is called where the server speaks first and at once.
func (o outgoing) Receive(wire []byte, _ bool) (plain, reply []byte, err error) {
	return wire, nil, proactor.ErrLayerDone
}

// Send, CloseWrite and End have nothing to do.
func (o outgoing) Send(plain []byte) ([]byte, error) { return plain, nil }
func (o outgoing) CloseWrite() []byte                { return nil }
func (o outgoing) End()                              {}
