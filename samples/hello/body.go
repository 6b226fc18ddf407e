package hello

import "bytes"

const (
	// maxBody, in bytes, bounds the body of a request, chunks put together.
	maxBody = 1 << 20
	// maxExtra, in bytes, bounds the chunk extensions and the trailer section of
	// a body together.
	maxExtra = 2 << 10
	// maxDigits bounds those of a chunk's size, zeros at the front included.
	maxDigits = 16
)

// skip passes over the body, as far as p has it. n bytes of p are done with;
// unless the stage is whole then, more is needed.
func (r *request) skip(p []byte) (n int, bad status) {
	for r.stage != whole {
		took := 0
		switch r.stage {
		case inContent, inChunk:
			took = r.skipContent(p[n:])
		case atChunk:
			took, bad = r.skipSize(p[n:])
		case afterChunk:
			took, bad = r.skipLineEnd(p[n:])
		case inTrailers:
			took, bad = r.skipTrailer(p[n:])
		}
		if took == 0 || bad != 0 {
			return n, bad
		}
		n += took
	}
	return n, 0
}

func (r *request) skipContent(p []byte) int {
	n := min(r.left, len(p))
	if r.left -= n; r.left == 0 {
		if r.stage == inContent {
			r.stage = whole
		} else {
			r.stage = afterChunk
		}
	}
	return n
}

// skipSize reads the line with the size of a chunk and, perhaps, extensions.
func (r *request) skipSize(p []byte) (n int, bad status) {
	line, n, bad := r.line(p, maxDigits)
	if n == 0 || bad != 0 {
		return 0, bad
	}
	digits, extension, extended := bytes.Cut(line, []byte(";"))
	if len(digits) == 0 || len(digits) > maxDigits || extended && len(extension) > 0 && !all(extension, isValue) {
		return 0, badRequest
	}
	var size uint64
	for _, c := range digits {
		d, ok := hexDigit(c)
		if !ok {
			return 0, badRequest
		}
		size = size<<4 | uint64(d)
	}
	if size > uint64(maxBody-r.total) {
		return 0, contentTooLarge
	}
	if r.extra += len(line) - len(digits); r.extra > maxExtra {
		return 0, fieldsTooLarge
	}
	r.left = int(size)
	r.total += r.left
	if r.stage = inChunk; r.left == 0 {
		r.stage = inTrailers
	}
	return n, 0
}

func (r *request) skipLineEnd(p []byte) (n int, bad status) {
	if !bytes.HasPrefix(p, crlf[:min(len(p), 2)]) {
		return 0, badRequest
	}
	if len(p) < 2 {
		return 0, 0
	}
	r.stage = atChunk
	return 2, 0
}

// skipTrailer passes over a field after the last chunk, or the empty line that
// ends the request. Nothing that stands there may change what it means.
func (r *request) skipTrailer(p []byte) (n int, bad status) {
	line, n, bad := r.line(p, 0)
	if n == 0 || bad != 0 {
		return 0, bad
	}
	if len(line) == 0 {
		r.stage = whole
		return n, 0
	}
	if _, _, ok := cutField(line); !ok {
		return 0, badRequest
	}
	if r.extra += n; r.extra > maxExtra {
		return 0, fieldsTooLarge
	}
	return n, 0
}

// line is the first line of p, which may have so many bytes aside from those
// that maxExtra still allows. n is its length with its line end; 0: that is not
// there yet.
func (r *request) line(p []byte, aside int) (line []byte, n int, bad status) {
	most := aside + maxExtra - r.extra + len(crlf)
	p = p[:min(len(p), most)]
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		if len(p) == most {
			return nil, 0, fieldsTooLarge
		}
		return nil, 0, 0
	}
	line, ok := bytes.CutSuffix(p[:end], crlf[:1])
	if !ok {
		return nil, 0, badRequest
	}
	return line, end + 1, 0
}

func hexDigit(c byte) (d byte, ok bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
