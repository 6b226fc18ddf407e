package hello

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest compares with net/http, in the safe direction: a request that is
// accepted here is accepted there, means the same there, and ends at the same
// byte. Otherwise a proxy of the one sort before a server of the other could be
// made to see other requests than the server does.
//
// What is refused here and taken there is not compared. That is much: lines
// that end in LF alone, folded fields, white space around chunk sizes, lower-case
// or unknown methods, and all that is over a limit. Three things are taken here
// and refused there on purpose, see deliberate.
//
// The pieces in which the bytes arrive must make no difference either, and no
// more than a head is kept.
func FuzzRequest(f *testing.F) {
	for _, x := range exchanges {
		f.Add([]byte(x.send), uint16(len(x.send)/2))
	}
	f.Add([]byte(browserRequest), uint16(100))
	f.Fuzz(func(t *testing.T, p []byte, cut uint16) {
		var one client
		one.send(p)
		at := min(int(cut), len(p))
		var two client
		two.send(p[:at])
		two.send(p[at:])
		strip := func(b []byte) string { return strings.ReplaceAll(string(b), continueLine, "") }
		if strip(one.out) != strip(two.out) || one.closed != two.closed || one.r.stage != two.r.stage || !bytes.Equal(one.kept, two.kept) {
			t.Fatalf("cut at %d:\n%q\n%+v\n%q\n%+v", at, one.out, one, two.out, two)
		}
		if len(one.kept) > maxHead || len(two.kept) > maxHead {
			t.Fatalf("%d and %d bytes are kept", len(one.kept), len(two.kept))
		}
		for len(p) > 0 {
			n := compareOne(t, p)
			if n == 0 {
				return
			}
			p = p[n:]
		}
	})
}

// compareOne compares the first request of p. It returns its length, 0 when
// that is the last one.
func compareOne(t *testing.T, p []byte) int {
	var r request
	start := 0
	for bytes.HasPrefix(p[start:], crlf) {
		start += 2 // which a server of net/http passes over, and ReadRequest not
	}
	n, bad := r.parse(p[start:])
	if bad != 0 || r.stage == between {
		return 0
	}
	stage, left := r.stage, r.left
	took, bad := r.skip(p[start+n:])

	rd := bufio.NewReaderSize(bytes.NewReader(p[start:]), 4096)
	req, err := http.ReadRequest(rd)
	if err != nil {
		if deliberate(err) {
			return 0
		}
		t.Fatalf("accepted: %q\nnet/http: %v", p, err)
	}
	if (req.Method == "HEAD") != r.head || req.Close != r.close || req.ProtoAtLeast(1, 1) == r.old {
		t.Fatalf("%q: %+v\nnet/http: %s, %s, close %v", p, r, req.Method, req.Proto, req.Close)
	}
	switch want := req.ContentLength; {
	case want < 0 && stage != atChunk, want > 0 && (stage != inContent || int64(left) != want), want == 0 && stage != whole:
		t.Fatalf("%q: stage %d, %d bytes\nnet/http: %d bytes", p, stage, left, want)
	}
	if bad != 0 || r.stage != whole {
		return 0 // the body is bad, or not all there
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		t.Fatalf("body accepted: %q\nnet/http: %v", p, err)
	}
	rest, _ := io.ReadAll(rd)
	if n = start + n + took; !bytes.Equal(rest, p[n:]) {
		t.Fatalf("%q: ends at %d\nnet/http: at %d", p, n, len(p)-len(rest))
	}
	if r.close {
		return 0
	}
	return n
}

// deliberate reports whether a request is taken here though net/http does not.
func deliberate(err error) bool {
	// The target is not looked into: the page is the same everywhere.
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	// A Trailer field announces a field that may not be a trailer. None of them
	// means anything here.
	return strings.Contains(err.Error(), "bad trailer key")
}
