package netconn

import (
	"context"
	"errors"
	"net"
	"reflect"

	"github.com/proactor-go/proactor"
)

// Dialer dials connections that are net.Conns. Its fields are those of [proactor.Dialer]; Handler
// must be empty, and Limits.Overflow is RejectWrites whatever is set. An http.Transport takes
// DialContext as it is:
//
//	d := netconn.Dialer{Engine: engine}
//	t := &http.Transport{DialContext: d.DialContext}
//
// So it takes that of a Dialer with TLS as DialTLSContext, for which TLS.NextProtos says
// whether it is HTTP/2.
type Dialer proactor.Dialer

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects; ctx bounds that, not the connection, which is a *[Conn] or, where TLS is
// set, a *tls.Conn that has its handshake behind it, see [Of]. Errors are those of
// [proactor.Dialer.Dial].
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !reflect.ValueOf(&d.Handler).Elem().IsZero() {
		return nil, errors.New("netconn: Dialer.Handler is set, in whose place the net.Conn is")
	}
	var c *Conn
	var err error
	dialer := proactor.Dialer(*d)
	dialer.Handler = callbacks
	dialer.Handler.Opened = func(pc *proactor.Conn) {
		if c, err = opens(pc); err != nil {
			pc.Abort()
		}
	}
	dialer.Limits.Overflow = proactor.RejectWrites
	if _, err := dialer.Dial(ctx, network, address); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return c.given(), nil
}
