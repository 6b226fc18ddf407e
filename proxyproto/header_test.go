package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pires "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

var (
	client4 = &net.TCPAddr{IP: net.IP{192, 0, 2, 1}, Port: 1000}
	server4 = &net.TCPAddr{IP: net.IP{198, 51, 100, 2}, Port: 443}
	client6 = &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1000}
	server6 = &net.TCPAddr{IP: net.ParseIP("2001:db8::2"), Port: 443}
)

// headers are some of each kind, as the specification has them, and what they say.
var headers = map[string]Header{
	"PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n":  {Version: 1, Source: client4, Destination: server4},
	"PROXY TCP6 2001:db8::1 2001:db8::2 1000 443\r\n": {Version: 1, Source: client6, Destination: server6},
	"PROXY UNKNOWN\r\n":                             {Version: 1, Local: true},
	"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n": {Version: 1, Local: true},
	signature + "\x20\x00\x00\x00":                  {Version: 2, Local: true},
	signature + "\x20\x00\x00\x03abc":               {}, // no TLV
	signature + "\x20\x11\x00\x02ab":                {Version: 2, Local: true},
	signature + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x03\xe8\x01\xbb": {Version: 2, Source: client4, Destination: server4},
	signature + "\x21\x11\x00\x17\xc0\x00\x02\x01\xc6\x33\x64\x02\x03\xe8\x01\xbb\x01\x00\x02h2\x04\x00\x03xyz": {
		Version: 2, Source: client4, Destination: server4,
		TLVs: []TLV{{Type: pires.PP2_TYPE_ALPN, Value: []byte("h2")}, {Type: pires.PP2_TYPE_NOOP}},
	},
	signature + "\x21\x31\x00\xd8/client" + strings.Repeat("\x00", 101) + "/server" + strings.Repeat("\x00", 101): {
		Version: 2, Source: &net.UnixAddr{Net: "unix", Name: "/client"}, Destination: &net.UnixAddr{Net: "unix", Name: "/server"},
	},

	"":                       {},
	"GET / HTTP/1.1\r\n\r\n": {},
	"PROXYTCP4 192.0.2.1 198.51.100.2 1000 443\r\n":                              {},
	"PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\n":                               {},
	"PROXY TCP4 192.0.2.1 198.51.100.2 1000 99999\r\n":                           {},
	"PROXY TCP4 2001:db8::1 2001:db8::2 1000 443\r\n":                            {},
	"PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n":                         {},
	"\r\n\r\n\x00\r\nQUIT\r":                                                     {},
	signature + "\x11\x11\x00\x0c" + strings.Repeat("\x00", 12):                  {}, // version 1
	signature + "\x22\x11\x00\x0c" + strings.Repeat("\x00", 12):                  {}, // no such command
	signature + "\x21\x41\x00\x0c" + strings.Repeat("\x00", 12):                  {}, // no such family
	signature + "\x21\x12\x00\x0c" + strings.Repeat("\x00", 12):                  {}, // datagrams
	signature + "\x21\x11\x00\x0b" + strings.Repeat("\x00", 11):                  {}, // shorter than its addresses
	signature + "\x21\x11\xff\xff":                                               {}, // longer than all that is read
	signature + "\x21\x11\x00\x0f" + strings.Repeat("\x00", 12) + "\x01\x00\x01": {}, // a TLV that is cut
}

// read is what a stream begins with.
func read(b []byte) (*Header, int, error) {
	n, err := length(b)
	if err != nil || n == 0 || n > len(b) {
		return nil, 0, err
	}
	h, err := parse(b[:n])
	return h, n, err
}

func TestHeaders(t *testing.T) {
	for b, want := range headers {
		h, n, err := read([]byte(b + "rest"))
		switch {
		case want.Version == 0 && h != nil:
			t.Errorf("%q is taken for %+v", b, h)
		case want.Version == 0 && err != nil && !errors.Is(err, ErrNone) && !errors.Is(err, ErrBad) && !errors.Is(err, ErrTooLarge):
			t.Errorf("%q: %v", b, err)
		case want.Version == 0 && b != "" && err == nil:
			t.Errorf("%q is waited for", b)
		case want.Version == 0:
		case h == nil || n != len(b) || err != nil || !cmp.Equal(*h, want):
			t.Errorf("%q: %d bytes, %v: %s", b, n, err, cmp.Diff(h, &want))
		default:
			back, err := h.Format()
			if again, _, _ := read(back); err != nil || !cmp.Equal(h, again) {
				t.Errorf("%q is written as %q, %v", b, back, err)
			}
		}
	}
}

// What is wrong is told by its first byte that is.
func TestNoneAtOnce(t *testing.T) {
	for _, b := range []string{"G", "PROXy", "\r\n\n", signature[:11] + "x"} {
		if _, err := length([]byte(b)); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %v", b, err)
		}
		if n, err := length([]byte(b[:len(b)-1])); n != 0 || err != nil {
			t.Errorf("%q: %d, %v", b[:len(b)-1], n, err)
		}
	}
}

// The TLVs of the specification are read, and a CRC32c that is not that of the header refuses it.
func TestTLVs(t *testing.T) {
	ssl, err := tlvparse.PP2SSL{Client: 3, TLV: []TLV{
		{Type: pires.PP2_SUBTYPE_SSL_VERSION, Value: []byte("TLSv1.3")},
		{Type: pires.PP2_SUBTYPE_SSL_CN, Value: []byte("client")},
	}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	h := Header{Version: 2, Source: client6, Destination: server6, TLVs: []TLV{
		{Type: pires.PP2_TYPE_AUTHORITY, Value: []byte("example.org")},
		{Type: pires.PP2_TYPE_CRC32C, Value: make([]byte, 4)},
		{Type: pires.PP2_TYPE_UNIQUE_ID, Value: []byte("number 1")},
		{Type: pires.PP2_TYPE_ALPN, Value: []byte("h2")},
		ssl,
	}}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("\x03\x00\x04")) + 3
	binary.BigEndian.PutUint32(b[at:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	got, _, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	of, ok := got.SSL()
	cn, _ := of.ClientCN()
	if got.Authority() != "example.org" || string(got.UniqueID()) != "number 1" || got.ALPN() != "h2" || !ok || cn != "client" || !of.Verified() {
		t.Errorf("%+v", got)
	}
	for i := fixed; i < len(b); i++ {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if h, _, err := read(bad); h != nil && bytes.Index(bad, []byte("\x03\x00\x04")) == at-3 {
			t.Errorf("byte %d is another, and nobody sees that: %v", i, err)
		}
	}
}

func TestFormat(t *testing.T) {
	unix := &net.UnixAddr{Net: "unix", Name: "/x"}
	for want, h := range map[string]Header{
		"PROXY UNKNOWN\r\n": {Version: 1, Source: unix, Destination: unix},
		"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1000 443\r\n": {Version: 1, Source: client4, Destination: server6},
		signature + "\x20\x00\x00\x00":                         {Version: 2, Local: true, Source: client4, Destination: server4},
	} {
		if b, err := h.Format(); err != nil || string(b) != want {
			t.Errorf("%q, %v; want %q", b, err, want)
		}
	}
	for _, h := range []Header{{}, {Version: 3}, {Version: 2, Source: &net.TCPAddr{IP: client4.IP, Port: 1 << 16}, Destination: server4}} {
		if b, err := h.Format(); err == nil {
			t.Errorf("%+v is written as %q", h, b)
		}
	}
}

// FuzzHeader: whatever a stream begins with, it is taken where pires/go-proxyproto takes it, for the
// same, and as long; and where it is cut does not matter.
func FuzzHeader(f *testing.F) {
	for b := range headers {
		f.Add([]byte(b + "rest"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := read(b)
		in := bytes.NewReader(b)
		buffered := bufio.NewReaderSize(in, 1<<17)
		want, wrong := pires.Read(buffered)
		switch {
		case h == nil && wrong == nil && err == nil:
			t.Fatalf("%q is waited for", b)
		case h == nil && wrong == nil:
			return // stricter: the TLVs, the checksum, datagrams, the length
		case h == nil:
			return
		case wrong != nil:
			t.Fatalf("%q is taken, and not by pires: %v", b, wrong)
		}
		if used := len(b) - in.Len() - buffered.Buffered(); used != n || byte(h.Version) != want.Version || h.Local != want.Command.IsLocal() ||
			!h.Local && !(cmp.Equal(h.Source, want.SourceAddr) && cmp.Equal(h.Destination, want.DestinationAddr)) {
			t.Fatalf("%q: %d bytes, %+v; pires: %d, %+v", b, n, h, used, want)
		}
		for cut := range n { // of a header that is taken, every beginning is waited for
			if m, err := length(b[:cut]); err != nil || m != 0 && m != n {
				t.Fatalf("%q: %d, %v", b[:cut], m, err)
			}
		}
	})
}
