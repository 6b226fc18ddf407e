package proxy

import "encoding/binary"

// helloMost bounds a ClientHello, in bytes. crypto/tls has the same bound.
const helloMost = 64 << 10

// hello is how far the first message of a stream, perhaps a ClientHello, was read: so the records of a stream
// that comes in small pieces are gone through once. It holds none of the bytes.
type hello struct {
	at   int               // where the record begins that is not whole
	got  int               // bytes of the message in the records before
	head [messageHead]byte // the first of them
}

// Lengths and kinds of RFC 8446, sections 4 and 5.1.
const (
	recordHead, messageHead  = 5, 4
	kindHandshake, kindHello = 22, 1
	recordMost               = 16 << 10
	noVersion                = 0x10 // crypto/tls takes no record of such a major version for TLS
)

// serverName reads the name that a client asks for (SNI, RFC 6066, section 3) in the ClientHello that its
// stream begins with, and leaves TLS to the server behind. b is all that has come of the stream, of which the call
// before was shown the beginning. whole: b says all there is to know; name is empty where that is none, also
// because b is no TLS. Else more of the stream is needed.
func (h *hello) serverName(b []byte) (name string, whole bool) {
	need, whole := h.read(b)
	if !whole || need == 0 {
		return "", whole
	}
	m := join(b, need)
	m.skip(messageHead)
	// RFC 8446, section 4.1.2: version, random, session ID, cipher suites, compression methods
	m.skip(2 + 32)
	m.block(1)
	m.block(2)
	m.block(1)
	for extensions := m.block(2); len(extensions) > 0; {
		kind := extensions.number(2)
		e := extensions.block(2)
		if kind != 0 || e == nil {
			continue
		}
		for names := e.block(2); len(names) > 0; {
			kind := names.number(1)
			n := names.block(2)
			if kind == 0 && len(n) > 0 {
				return string(n), true
			}
		}
		break
	}
	return "", true
}

// read goes on in the records of the first message. whole: that is there, of need bytes, or is no
// ClientHello; then need is 0.
func (h *hello) read(b []byte) (need int, whole bool) {
	for {
		size, ok := record(b[h.at:])
		if !ok {
			return 0, true
		}
		from := h.at + recordHead
		body := b[min(len(b), from):min(len(b), from+size)]
		if h.got < messageHead {
			copy(h.head[h.got:], body)
		}
		got := h.got + len(body)
		if got > 0 && h.head[0] != kindHello {
			return 0, true
		}
		if got >= messageHead {
			need = messageHead + int(h.head[1])<<16 + int(h.head[2])<<8 + int(h.head[3])
			switch {
			case need > helloMost:
				return 0, true
			case got >= need:
				return need, true
			}
		}
		if len(b) < from+max(size, 1) {
			return 0, false
		}
		h.at, h.got = from+size, got
	}
}

// record is the size of the body of the record that b begins with; 0: more bytes have to tell. ok: as far as b
// tells, that is a record of a handshake. A server ignores the version of a record (RFC 8446, section 5.1),
// where it is not so high that this is no TLS.
func record(b []byte) (size int, ok bool) {
	if len(b) > 0 && b[0] != kindHandshake || len(b) > 1 && b[1] >= noVersion {
		return 0, false
	}
	if len(b) < recordHead {
		return 0, true
	}
	size = int(binary.BigEndian.Uint16(b[3:]))
	return size, size > 0 && size <= recordMost
}

// join is the first message of a stream, of so many bytes, which are there.
func join(b []byte, need int) message {
	m := make(message, 0, need)
	for len(m) < need {
		size, _ := record(b)
		body := b[recordHead:min(len(b), recordHead+size)]
		m = append(m, body[:min(len(body), need-len(m))]...)
		b = b[recordHead+len(body):]
	}
	return m
}

// message is what is left to read of one. What is not there is nil and 0, and so is all that follows.
type message []byte

func (m *message) skip(n int) message {
	if n > len(*m) {
		*m = nil
		return nil
	}
	b := (*m)[:n]
	*m = (*m)[n:]
	return b
}

// number is one of so many bytes.
func (m *message) number(bytes int) (n int) {
	for _, b := range m.skip(bytes) {
		n = n<<8 | int(b)
	}
	return n
}

// block is what follows a length of so many bytes.
func (m *message) block(bytes int) message { return m.skip(m.number(bytes)) }
