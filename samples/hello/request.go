package hello

import "bytes"

// maxHead, in bytes, bounds the request line and the header fields, the empty
// line after them included.
const maxHead = 8 << 10

// stage is how far a request has come.
type stage uint8

const (
	between    stage = iota // no request is under way
	inContent               // left bytes of a body with a Content-Length are to come
	atChunk                 // the line with a chunk's size is next
	inChunk                 // left bytes of the chunk are to come
	afterChunk              // the line end after a chunk is next
	inTrailers              // a line of the trailer section is next
	whole                   // it can be answered
)

// request is what matters of a request: how to answer it, and where it ends.
type request struct {
	head    bool // the method is HEAD
	old     bool // HTTP/1.0
	close   bool // the connection ends with the answer
	expects bool // the client waits for a 100 before it sends the body

	stage stage
	left  int // see stage
	total int // bytes in chunks so far
	extra int // bytes of chunk extensions and trailers so far
}

// parse reads the head of a request at the beginning of p. n bytes of p are
// done with; the stage remains between when more is needed to go on. A request
// line that is wrong is told of as soon as it is there, fields are looked at
// when all are. r must be zero; head is right also when the request is bad.
func (r *request) parse(p []byte) (n int, bad status) {
	for bytes.HasPrefix(p[n:], crlf) {
		n += 2 // some clients send an empty line after a body
	}
	if p = p[n:]; len(p) == 0 || len(p) == 1 && p[0] == '\r' {
		return n, 0
	}
	if class[p[0]]&isToken == 0 {
		return n, badRequest // it need not be a line at all, see TLS
	}
	p = p[:min(len(p), maxHead)]
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		return n, tooLong(p, targetTooLong)
	}
	if bad := r.parseLine(p[:end]); bad != 0 {
		return n, bad
	}
	p, start := p[end+1:], p
	fields := endOfFields(p)
	if fields < 0 {
		return n, tooLong(start, fieldsTooLarge)
	}
	if bad := r.parseFields(p[:fields]); bad != 0 {
		return n, bad
	}
	return n + end + 1 + fields, 0
}

// tooLong is for a head that does not end in p.
func tooLong(p []byte, s status) status {
	if len(p) == maxHead {
		return s
	}
	return 0
}

var crlf = []byte("\r\n")

// parseLine reads the request line, without its LF.
func (r *request) parseLine(line []byte) status {
	line, ok := bytes.CutSuffix(line, crlf[:1])
	method, rest, _ := bytes.Cut(line, space)
	target, version, _ := bytes.Cut(rest, space)
	if !ok || !all(method, isToken) || !all(target, isVisible) ||
		len(version) != 8 || string(version[:5]) != "HTTP/" || version[6] != '.' || !isDigit(version[5]) || !isDigit(version[7]) {
		return badRequest
	}
	r.head = string(method) == "HEAD"
	if version[5] != '1' {
		return versionUnsupported
	}
	r.old = version[7] == '0'
	switch string(method) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH":
	case "OPTIONS":
		if string(target) == "*" {
			return 0
		}
	case "CONNECT", "TRACE": // their 200 would mean a tunnel, and an echo
		return methodNotAllowed
	default:
		return notImplemented
	}
	if target[0] != '/' && !absolute(target) {
		return badRequest
	}
	return 0
}

var space = []byte(" ")

// absolute reports whether the target is a whole URL, as proxies send it.
func absolute(target []byte) bool {
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	return ok && (is(scheme, "http") || is(scheme, "https")) && len(rest) > 0 && rest[0] != '/' && rest[0] != '?' && rest[0] != '#'
}

// endOfFields is the length of the fields with the empty line after them. -1:
// that is not there yet. A lone LF counts, so that it is found and refused.
func endOfFields(p []byte) int {
	for n := 0; ; {
		line := bytes.IndexByte(p[n:], '\n')
		if line < 0 {
			return -1
		}
		if line == 0 || line == 1 && p[n] == '\r' {
			return n + line + 1
		}
		n += line + 1
	}
}

// parseFields reads the fields, up to the empty line, and says what they mean
// for the connection.
func (r *request) parseFields(p []byte) status {
	var hosts, codings int
	var length []byte
	var unknown, chunked, closes, stays, expects bool
	for {
		end := bytes.IndexByte(p, '\n')
		line, ok := bytes.CutSuffix(p[:end], crlf[:1])
		if !ok {
			return badRequest
		}
		if len(line) == 0 {
			break
		}
		p = p[end+1:]
		name, value, ok := cutField(line)
		if !ok {
			return badRequest
		}
		switch {
		case is(name, "host"):
			if hosts++; len(value) > 0 && !all(value, isHost) {
				return badRequest
			}
		case is(name, "connection"):
			for more := true; more; {
				var option []byte
				option, value, more = bytes.Cut(value, []byte(","))
				option = bytes.Trim(option, " \t")
				closes = closes || is(option, "close")
				stays = stays || is(option, "keep-alive")
			}
		case is(name, "content-length"):
			if len(value) == 0 || length != nil && !bytes.Equal(value, length) {
				return badRequest
			}
			length = value
		case is(name, "transfer-encoding"):
			for more := true; more; codings++ {
				var coding []byte
				coding, value, more = bytes.Cut(value, []byte(","))
				coding = bytes.Trim(coding, " \t")
				chunked = chunked || is(coding, "chunked")
				unknown = unknown || len(coding) > 0 && !is(coding, "chunked")
			}
		case is(name, "expect"):
			expects = expects || is(value, "100-continue")
		}
	}
	r.close = closes || r.old && !stays
	if hosts > 1 || hosts == 0 && !r.old {
		return badRequest
	}
	return r.frame(length, codings, chunked, unknown, expects)
}

// frame decides where the request ends. Where the client and another server
// on the way may have read it differently it is refused: that is how requests
// are smuggled.
func (r *request) frame(length []byte, codings int, chunked, unknown, expects bool) status {
	switch {
	case codings > 0 && (length != nil || r.old):
		return badRequest
	case unknown:
		return notImplemented
	case codings > 1 || codings == 1 && !chunked:
		return badRequest
	case chunked:
		r.stage = atChunk
	default:
		var over, ok bool
		if r.left, over, ok = parseLength(length); !ok {
			return badRequest
		} else if over {
			return contentTooLarge
		}
		if r.stage = inContent; r.left == 0 {
			r.stage = whole
		}
	}
	r.expects = expects && !r.old && r.stage != whole
	return 0
}

// parseLength reads a Content-Length. nil is none, so 0. over says that it is
// more than maxBody.
func parseLength(digits []byte) (n int, over, ok bool) {
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false, false
		}
		if n = n*10 + int(c-'0'); n > maxBody {
			over, n = true, maxBody // on to the next digit
		}
	}
	return n, over, true
}

// cutField cuts a field line, without its line end, at the colon. A line that
// begins with white space continues the one before, which is not allowed any
// more: no name begins so.
func cutField(line []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(line, []byte(":"))
	value = bytes.Trim(value, " \t")
	return name, value, ok && all(name, isToken) && (len(value) == 0 || all(value, isValue))
}

// What a byte may be part of.
const (
	isToken   = 1 << iota // a method, the name of a field
	isVisible             // a target
	isValue               // the value of a field
	isHost                // the value of Host
)

var class = func() (t [256]uint8) {
	for c := range t {
		if c > ' ' && c < 0x7f {
			t[c] |= isVisible
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= isValue
		}
		if '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			t[c] |= isToken | isHost
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= isToken
	}
	for _, c := range "!$%&'()*+,-.:;=[]_~" {
		t[c] |= isHost
	}
	return t
}()

// all reports whether b is not empty and all of its bytes are of the class.
func all(b []byte, want uint8) bool {
	for _, c := range b {
		if class[c]&want == 0 {
			return false
		}
	}
	return len(b) > 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// is reports whether b is the word, which is in lower case, without regard to
// case. Only that of ASCII: bytes.EqualFold takes the Kelvin sign for a k.
func is(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
