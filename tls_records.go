package proactor

import "crypto/tls"

// records tells where the records of a TLS stream end. Their headers are in the clear, so
// crypto/tls need not be asked whether it has enough for one.
type records struct {
	head [recordHead]byte // of the record that is under way
	got  uint8            // bytes of head
	left int              // bytes of its body that have not come
}

const recordHead = 5

// came is how many bytes have come of the record that is under way; 0: none is.
func (r *records) came() int {
	if r.left == 0 {
		return int(r.got)
	}
	return recordHead + r.size() - r.left
}

// size is how long the body is.
func (r *records) size() int { return int(r.head[3])<<8 | int(r.head[4]) }

// strange reports whether the record that is under way has a header that no record has.
// crypto/tls refuses it without the body, which may never come.
func (r *records) strange() bool {
	const most = 16<<10 + 2048 // RFC 5246, 6.2.3
	return r.left > 0 && (r.head[0] < 20 || r.head[0] > 23 || r.head[1] != 3 || r.size() > most)
}

// next takes from b what belongs to the record that is under way: n bytes, of which those
// from body on are no header. whole: the record ends there.
func (r *records) next(b []byte) (n, body int, whole bool) {
	if r.left == 0 {
		body = copy(r.head[r.got:], b)
		if r.got += uint8(body); r.got < recordHead {
			return body, body, false
		}
		r.left = r.size()
	}
	n = body + min(r.left, len(b)-body)
	if r.left -= n - body; r.left > 0 {
		return n, body, false
	}
	r.got = 0
	return n, body, true
}

// pass is next for bytes of as many records as there are.
func (r *records) pass(b []byte) {
	for len(b) > 0 {
		n, _, _ := r.next(b)
		b = b[n:]
	}
}

// hello looks at the first bytes of a client, until its ClientHello is whole.
type hello struct {
	records records
	head    [4]byte // of the message: its type, and its length
	got     int     // bytes of the message, head included
}

const (
	recordHandshake = 22
	messageHello    = 1
	// helloMost, in bytes, bounds a ClientHello. crypto/tls has the same bound.
	helloMost = 64 << 10
)

// scan is given the stream piece by piece. It reports whether a handshake may
// begin: the ClientHello is whole, or crypto/tls finds what is wrong with it in what is
// there. The error is for what is no TLS at all.
func (h *hello) scan(b []byte) (begin bool, err error) {
	for len(b) > 0 {
		n, body, whole := h.records.next(b)
		switch {
		case !whole && h.records.got < recordHead:
			return false, nil
		case h.records.head[0] != recordHandshake || h.records.head[1] != 3:
			return false, tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake", RecordHeader: h.records.head}
		case h.message(b[body:n]) || whole && h.records.size() == 0:
			return true, nil
		}
		b = b[n:]
	}
	return false, nil
}

// message is given more of the message. It reports whether that is whole, or too long, or
// another one.
func (h *hello) message(b []byte) bool {
	if h.got < len(h.head) {
		copy(h.head[h.got:], b)
	}
	if h.got += len(b); h.got == 0 {
		return false
	}
	if h.got < len(h.head) {
		return h.head[0] != messageHello
	}
	need := len(h.head) + (int(h.head[1])<<16 | int(h.head[2])<<8 | int(h.head[3]))
	return h.head[0] != messageHello || need > helloMost || h.got >= need
}

// looksLikeHTTP reports whether a client's first bytes begin a request of plain HTTP.
func looksLikeHTTP(head [recordHead]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET", "CONNE":
		return true
	}
	return false
}
