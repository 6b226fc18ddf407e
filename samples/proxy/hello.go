package proxy

import "encoding/binary"

// helloMost bounds a ClientHello, in bytes. crypto/tls has the same bound.
const helloMost = 64 << 10

// serverName reads the name that a client asks for (SNI, RFC 6066, section 3) in the ClientHello that its
// stream begins with, and leaves TLS to the server behind. whole: b says all there is to know; name is
// empty where that is none, also because b is no TLS. Else more of the stream is needed.
func serverName(b []byte) (name string, whole bool) {
	hello, whole := handshake(b)
	if !whole || hello == nil {
		return "", whole
	}
	// RFC 8446, section 4.1.2: version, random, session ID, cipher suites, compression methods
	m := message(hello)
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

// handshake joins the records (RFC 8446, section 5.1) of the first message, and gives its body if
// that is a ClientHello. whole: it is, or b is none.
func handshake(b []byte) (hello []byte, whole bool) {
	const (
		recordHead, messageHead  = 5, 4
		kindHandshake, kindHello = 22, 1
		recordMost               = 16 << 10
	)
	var joined []byte
	for {
		if len(b) > 0 && b[0] != kindHandshake || len(b) > 1 && b[1] != 3 {
			return nil, true
		}
		if len(b) < recordHead {
			return nil, false
		}
		size := int(binary.BigEndian.Uint16(b[3:]))
		if size == 0 || size > recordMost {
			return nil, true
		}
		body := b[recordHead:min(len(b), recordHead+size)]
		if joined == nil {
			joined = body[:len(body):len(body)] // a further record is copied behind it
		} else {
			joined = append(joined, body...)
		}
		if len(joined) > 0 && joined[0] != kindHello {
			return nil, true
		}
		if len(joined) >= messageHead {
			need := messageHead + int(joined[1])<<16 + int(joined[2])<<8 + int(joined[3])
			switch {
			case need > helloMost:
				return nil, true
			case len(joined) >= need:
				return joined[messageHead:need], true
			}
		}
		if len(b) <= recordHead+size {
			return nil, false
		}
		b = b[recordHead+size:]
	}
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
