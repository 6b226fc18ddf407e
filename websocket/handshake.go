package websocket

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/gobwas/httphead"
)

// headMost, in bytes, bounds a request or an answer of the handshake.
const headMost = 16 << 10

// The names of headers, as net/http writes them.
const (
	hdrKey      = "Sec-Websocket-Key"
	hdrVersion  = "Sec-Websocket-Version"
	hdrProtocol = "Sec-Websocket-Protocol"
	hdrAccept   = "Sec-Websocket-Accept"

	hdrExtensions = "Sec-Websocket-Extensions"
)

// refusal is the answer to a request that is not upgraded.
type refusal struct {
	status int
	why    string
}

func (e *refusal) Error() string {
	return fmt.Sprintf("websocket: not upgraded: %d %s: %s", e.status, http.StatusText(e.status), e.why)
}

// agreement is what a handshake has come to.
type agreement struct {
	answer    []byte     // what the client is sent
	chosen    uint16     // Conn.chosen
	deflation *deflation // Conn.deflation
}

// agree checks a request (RFC 6455, 4.2.1).
func (o *Options) agree(r *http.Request) (a agreement, err error) {
	key := r.Header.Get(hdrKey)
	nonce, keyErr := base64.StdEncoding.DecodeString(key)
	refuse := func(status int, why string) (agreement, error) { return a, &refusal{status, why} }
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return refuse(http.StatusHTTPVersionNotSupported, "it has to be HTTP/1.1")
	case !hasToken(r.Header, "Upgrade", "websocket") || !hasToken(r.Header, "Connection", "upgrade"):
		return refuse(http.StatusUpgradeRequired, "no upgrade to websocket is asked for")
	case r.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "the method is not GET")
	case r.Host == "":
		return refuse(http.StatusBadRequest, "no Host")
	case r.Header.Get(hdrVersion) != "13":
		return refuse(http.StatusUpgradeRequired, "the version is not 13")
	case keyErr != nil || len(nonce) != 16 || len(r.Header[hdrKey]) != 1:
		return refuse(http.StatusBadRequest, "no valid "+hdrKey)
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return refuse(http.StatusBadRequest, "the request has a body")
	}
	check := o.CheckOrigin
	if check == nil {
		check = sameOrigin
	}
	if !check(r) {
		return refuse(http.StatusForbidden, "the origin is not allowed")
	}
	deflation, extension, err := o.compression().accept(r.Header)
	if err != nil {
		return a, err
	}
	b := fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%s: %s\r\n", hdrAccept, accept(key))
	if a.chosen = o.choose(func(p string) bool { return hasToken(r.Header, hdrProtocol, p) }); a.chosen > 0 {
		b = fmt.Appendf(b, "%s: %s\r\n", hdrProtocol, o.Protocols[a.chosen-1])
	}
	if deflation != nil {
		a.deflation = deflation
		b = fmt.Appendf(b, "%s: %s\r\n", hdrExtensions, extension)
	}
	a.answer = append(b, "\r\n"...)
	return a, nil
}

// choose is the first subprotocol that will do, as Conn.chosen has it, which no more than 65,535 can be told
// apart by.
func (o *Options) choose(will func(string) bool) uint16 {
	return uint16(slices.IndexFunc(o.Protocols[:min(len(o.Protocols), math.MaxUint16)], will) + 1)
}

// accept is the server's answer to a key (RFC 6455, 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hasToken reports whether a header whose values are lists has a token. Subprotocols are told apart
// by case, the tokens of HTTP are not.
func hasToken(h http.Header, name, token string) (found bool) {
	for _, value := range h[name] {
		httphead.ScanTokens([]byte(value), func(v []byte) bool {
			found = found || string(v) == token || name != hdrProtocol && strings.EqualFold(string(v), token)
			return !found
		})
	}
	return found
}

func sameOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && strings.EqualFold(u.Host, r.Host)
}

// head is what comes before the first empty line; 0: it is not all there.
func head(data []byte) (n int, err error) {
	end := []byte("\r\n\r\n")
	n = bytes.Index(data[:min(len(data), headMost)], end)
	switch {
	case n >= 0:
		return n + len(end), nil
	case len(data) >= headMost:
		return 0, &refusal{http.StatusRequestHeaderFieldsTooLarge, "the header is too large"}
	}
	return 0, nil
}

// asked reads the request of a client, and answers it.
func (c *Conn) asked(data []byte) (advance int, err error) {
	n, err := head(data)
	if err == nil && n == 0 {
		return 0, nil
	}
	var r *http.Request
	var a agreement
	if err == nil {
		if r, err = readRequest(data[:n]); err != nil {
			err = &refusal{http.StatusBadRequest, "this is no request of HTTP"}
		}
	}
	if err == nil {
		r.RemoteAddr = c.pc.RemoteAddr().String()
		r.TLS = c.pc.TLS()
		a, err = c.opts.agree(r)
	}
	if err != nil {
		c.pc.Write(err.(*refusal).answer())
		return len(data), bufio.ErrFinalToken
	}
	c.open(r, a)
	return n, nil
}

// readers are for readRequest. One has 4 KiB, which is most of what a handshake would allocate.
var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// readRequest reads a request that is all there. One that has a body cannot read it.
func readRequest(data []byte) (*http.Request, error) {
	b := readers.Get().(*bufio.Reader)
	b.Reset(bytes.NewReader(data))
	r, err := http.ReadRequest(b)
	b.Reset(nil)
	readers.Put(b)
	if err == nil && r.Body != http.NoBody {
		r.Body = http.NoBody // that of net/http reads b, which another one has by now
	}
	return r, err
}

// answer is the refusal as HTTP writes it.
func (e *refusal) answer() []byte {
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n",
		e.status, http.StatusText(e.status), len(e.why)+1)
	for name, values := range e.header() {
		b = fmt.Appendf(b, "%s: %s\r\n", name, values[0])
	}
	return fmt.Appendf(b, "\r\n%s\n", e.why)
}

// header has what a client needs to do better.
func (e *refusal) header() http.Header {
	switch e.status {
	case http.StatusUpgradeRequired:
		return http.Header{"Upgrade": {"websocket"}, hdrVersion: {"13"}}
	case http.StatusMethodNotAllowed:
		return http.Header{"Allow": {http.MethodGet}}
	}
	return nil
}

// open ends the handshake: what comes now are frames.
func (c *Conn) open(r *http.Request, a agreement) {
	c.leave()
	c.state &^= upgrading
	c.chosen, c.deflation = a.chosen, a.deflation
	if a.deflation != nil {
		c.in.flags |= deflates
	}
	c.pc.Write(a.answer)
	if c.place = nil; c.opts.PingInterval > 0 {
		c.queue(c.opts.PingInterval, (*Conn).silent)
	}
	if c.opts.Opened != nil {
		c.opts.Opened(c, r)
	}
}

// refused is told that a connection ended before the handshake was done.
func (c *Conn) refused(cause error) {
	if d, ok := c.value.(*dialing); ok {
		d.fail(cause)
	}
}
