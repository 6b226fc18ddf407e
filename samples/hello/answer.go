package hello

import (
	"strconv"
	"sync/atomic"
	"time"
)

// status is an HTTP status code of an error. 0: none.
type status int

const (
	badRequest         status = 400
	methodNotAllowed   status = 405
	requestTimeout     status = 408
	contentTooLarge    status = 413
	targetTooLong      status = 414
	fieldsTooLarge     status = 431
	notImplemented     status = 501
	versionUnsupported status = 505
)

// reason is the code with its name.
func (s status) reason() string {
	switch s {
	case badRequest:
		return "400 Bad Request"
	case methodNotAllowed:
		return "405 Method Not Allowed"
	case requestTimeout:
		return "408 Request Timeout"
	case contentTooLarge:
		return "413 Content Too Large"
	case targetTooLong:
		return "414 URI Too Long"
	case fieldsTooLarge:
		return "431 Request Header Fields Too Large"
	case notImplemented:
		return "501 Not Implemented"
	case versionUnsupported:
		return "505 HTTP Version Not Supported"
	}
	return strconv.Itoa(int(s))
}

const (
	continueLine = "HTTP/1.1 100 Continue\r\n\r\n"
	allowLine    = "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"
)

// appendPage appends the answer to r. date is of a clock.
func appendPage(out []byte, r *request, date string) []byte {
	out = append(out, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n"...)
	out = append(out, date...)
	switch {
	case r.close:
		out = append(out, "Connection: close\r\n"...)
	case r.old: // it closes by default
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	out = append(out, "\r\n"...)
	if !r.head {
		out = append(out, Page...)
	}
	return out
}

// appendError appends the answer to a request that cannot be met. It is the
// last one: where the next request would begin is not known.
func appendError(out []byte, s status, head bool, date string) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = append(out, s.reason()...)
	out = append(out, "\r\nContent-Type: text/plain\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(s.reason())+1), 10)
	out = append(out, "\r\n"...)
	if s == methodNotAllowed {
		out = append(out, allowLine...)
	}
	out = append(out, date...)
	out = append(out, "Connection: close\r\n\r\n"...)
	if !head {
		out = append(out, s.reason()...)
		out = append(out, '\n')
	}
	return out
}

// clock makes the Date field once a second. Any goroutine may use it.
type clock struct{ last atomic.Pointer[stamp] }

type stamp struct {
	unix int64
	line string
}

// date is the whole line, with its line end.
func (k *clock) date(now time.Time) string {
	if s := k.last.Load(); s != nil && s.unix == now.Unix() {
		return s.line
	}
	s := &stamp{now.Unix(), now.UTC().Format("Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n")}
	k.last.Store(s)
	return s.line
}
