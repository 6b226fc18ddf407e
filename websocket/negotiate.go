package websocket

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gobwas/httphead"
)

// Compression is whether messages may be compressed, by the extension permessage-deflate (RFC
// 7692). Both sides must want it; else messages go as they are.
type Compression uint8

// What a message is compressed with.
const (
	// NoCompression has no extension offered, or an offer taken.
	NoCompression Compression = iota
	// NoContextTakeover compresses each message by itself. An idle connection remembers nothing for it.
	// It is what broadcasts want, see Prepare.
	NoContextTakeover
	// ContextTakeover compresses a message with what was said before it, which makes short ones much
	// smaller that are like each other. Each connection remembers up to 2 KiB of what it has sent,
	// and what its peer may refer to: 4 KiB on a server whose client lets it choose, as browsers but
	// Firefox do, and otherwise 32 KiB. A peer that wants no context is given none. Of messages that
	// several goroutines write to a connection at the same time one is compressed.
	ContextTakeover
)

// receiveBits is the window that a server of ContextTakeover allows to clients that let it choose.
const receiveBits = 12

// parameters are those of permessage-deflate, in an offer or an answer (RFC 7692, 7.1).
type parameters struct {
	serverAlone, clientAlone bool // server_no_context_takeover, client_no_context_takeover
	serverBits, clientBits   int  // server_max_window_bits, client_max_window_bits; 0: absent
}

const (
	deflateName = "permessage-deflate"
	maxBits     = 15
	anyBits     = maxBits + 1 // in an offer: client_max_window_bits without a value
)

// extension is one element of Sec-WebSocket-Extensions.
type extension struct {
	parameters
	known bool // it is permessage-deflate, and its parameters are right
}

// extensions lists what a header has. ok: it is written as it should be (RFC 6455, 9.1).
func extensions(h http.Header) (all []extension, ok bool) {
	for _, value := range h[hdrExtensions] {
		last := -1
		ok := httphead.ScanOptions([]byte(value), func(i int, name, attribute, value []byte) httphead.Control {
			if i != last {
				all, last = append(all, extension{known: string(name) == deflateName}), i
			}
			if e := &all[len(all)-1]; attribute != nil {
				e.known = e.known && e.set(string(attribute), value)
			}
			return httphead.ControlContinue
		})
		if !ok {
			return nil, false
		}
	}
	return all, true
}

// set sets a parameter, and reports whether it may be so. None may come twice.
func (p *parameters) set(name string, value []byte) bool {
	alone, bits := &p.serverAlone, &p.serverBits
	if strings.HasPrefix(name, "client_") {
		alone, bits = &p.clientAlone, &p.clientBits
	}
	switch name {
	case "server_no_context_takeover", "client_no_context_takeover":
		twice := *alone
		*alone = true
		return !twice && value == nil
	case "server_max_window_bits", "client_max_window_bits":
		twice := *bits != 0
		*bits = anyBits
		if value != nil {
			n, err := strconv.Atoi(string(value))
			if err != nil || n < 8 || n > maxBits || strconv.Itoa(n) != string(value) {
				return false
			}
			*bits = n
		}
		return !twice && (value != nil || bits == &p.clientBits)
	}
	return false
}

func (p parameters) String() string {
	var b strings.Builder
	b.WriteString(deflateName)
	for _, f := range []struct {
		name string
		is   bool
	}{{"server_no_context_takeover", p.serverAlone}, {"client_no_context_takeover", p.clientAlone}} {
		if f.is {
			b.WriteString("; " + f.name)
		}
	}
	for _, f := range []struct {
		name string
		bits int
	}{{"server_max_window_bits", p.serverBits}, {"client_max_window_bits", p.clientBits}} {
		switch f.bits {
		case 0:
		case anyBits:
			b.WriteString("; " + f.name)
		default:
			b.WriteString("; " + f.name + "=" + strconv.Itoa(f.bits))
		}
	}
	return b.String()
}

// offer is what a client asks for. Its server may choose any window, and both contexts or none.
func (c Compression) offer() parameters {
	alone := c == NoContextTakeover
	return parameters{serverAlone: alone, clientAlone: alone, clientBits: anyBits}
}

// answer is that of a server to an offer. All are taken, because any window can be kept to; and
// a server may always ask for no context (RFC 7692, 7.1.1), but for a window only if it is offered.
func (c Compression) answer(offer parameters) parameters {
	a := offer
	if c == NoContextTakeover {
		a.serverAlone, a.clientAlone = true, true
	}
	if a.clientAlone {
		a.clientBits = 0 // the window of one message costs nothing
	} else if a.clientBits != 0 {
		a.clientBits = min(a.clientBits, receiveBits)
	}
	return a
}

// accept takes the first offer that it can, of a request.
func (c Compression) accept(h http.Header) (d *deflation, answer string, err error) {
	if c == NoCompression {
		return nil, "", nil
	}
	offers, ok := extensions(h)
	if !ok {
		return nil, "", &refusal{http.StatusBadRequest, "no valid " + hdrExtensions}
	}
	for _, e := range offers {
		if e.known {
			a := c.answer(e.parameters)
			return newDeflation(a, false), a.String(), nil
		}
	}
	return nil, "", nil
}

// accepted checks the answer of a server (RFC 7692, 7.1). why: what is wrong with it.
func (c Compression) accepted(h http.Header) (d *deflation, why string) {
	if c == NoCompression {
		if len(h[hdrExtensions]) > 0 {
			return nil, "it has an extension that was not asked for"
		}
		return nil, ""
	}
	answers, ok := extensions(h)
	switch {
	case !ok || len(answers) > 1:
		return nil, "it has no valid " + hdrExtensions
	case len(answers) == 0:
		return nil, ""
	}
	a, offer := answers[0], c.offer()
	if !a.known || a.clientBits == anyBits || offer.serverAlone && !a.serverAlone {
		return nil, "it has an extension that was not asked for so"
	}
	// What was offered holds, whether it is answered or not (7.1.1.2).
	a.clientAlone = a.clientAlone || offer.clientAlone
	return newDeflation(a.parameters, true), ""
}
