package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"

	pires "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
	"github.com/proactor-go/proactor"
)

// Header is what a proxy says about the connection that it passes on.
type Header struct {
	// Version is 1 or 2.
	Version int
	// Local says that the proxy speaks for itself, as in a health check (LOCAL), or does not know whom it
	// speaks for (UNKNOWN of version 1): the addresses are nil, and the peer is the proxy.
	Local bool
	// Source is the client's address, and Destination the address that the client connected to: a *net.TCPAddr or
	// a *net.UnixAddr each.
	Source, Destination net.Addr
	// TLVs are the further fields of version 2, in their order. Package tlvparse of pires/go-proxyproto
	// reads those of cloud providers.
	TLVs []TLV
	// Proxy is the address of the proxy: where the connection comes from. It is set by what [Receive] makes.
	Proxy net.Addr
}

// TLV is a type, of section 2.2 of the specification, and a value.
type TLV = pires.TLV

// SSL is what a proxy says of the TLS between it and the client (section 2.2.6).
type SSL = tlvparse.PP2SSL

// Value is that of the first TLV of a type; nil: there is none.
func (h *Header) Value(of pires.PP2Type) []byte {
	for _, t := range h.TLVs {
		if t.Type == of {
			return t.Value
		}
	}
	return nil
}

// ALPN is the protocol that the client and the proxy have agreed on, "": none is told.
func (h *Header) ALPN() string { return string(h.Value(pires.PP2_TYPE_ALPN)) }

// Authority is the name that the client asked for, most often by TLS (SNI). "": none is told.
func (h *Header) Authority() string { return string(h.Value(pires.PP2_TYPE_AUTHORITY)) }

// UniqueID is the proxy's number for the connection, up to 128 bytes. nil: none is told.
func (h *Header) UniqueID() []byte { return h.Value(pires.PP2_TYPE_UNIQUE_ID) }

// SSL tells about the client's TLS. false: the proxy said nothing about it, or nothing that can be read.
func (h *Header) SSL() (SSL, bool) { return tlvparse.FindSSL(h.TLVs) }

// For makes the header that passes a client on. It has the addresses of the client's connection or, if that
// began with a header itself, those of that header.
func For(client *proactor.Conn, version int) *Header {
	h := &Header{Version: version, Source: client.RemoteAddr(), Destination: client.LocalAddr()}
	if came := Of(client); came != nil && !came.Local {
		h.Destination = came.Destination
	}
	return h
}

// Format is the header as it is sent. Addresses of two kinds, and those of Unix sockets in version 1, are
// told as unknown. The error says that a field is out of its range.
func (h *Header) Format() ([]byte, error) {
	if h.Version != 1 && h.Version != 2 {
		return nil, fmt.Errorf("proxyproto: there is no version %d", h.Version)
	}
	source, destination := h.Source, h.Destination
	if h.Local {
		source, destination = nil, nil
	}
	p := pires.HeaderProxyFromAddrs(byte(h.Version), source, destination)
	if err := p.SetTLVs(h.TLVs); err != nil {
		return nil, err
	}
	return p.Format()
}

// MaxHeader bounds a header of version 2, in bytes; version 1 has 107.
const MaxHeader = 4096

// Lengths of the specification.
const (
	fixed    = 16  // of version 2: what stands before the addresses
	longest1 = 107 // of version 1, with its end
)

// Why there is no header. They are wrapped.
var (
	// ErrNone: what came is none.
	ErrNone = errors.New("proxyproto: no header")
	// ErrBad: it begins like one, and breaks the specification.
	ErrBad = errors.New("proxyproto: bad header")
	// ErrTooLarge: it is longer than [MaxHeader].
	ErrTooLarge = errors.New("proxyproto: header too long")
)

// length is how long the header is that b begins with; 0: more bytes have to tell. The error says
// as soon as it can be told that b begins with none.
func length(b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return 0, nil
	case b[0] == pires.SIGV1[0]:
		return length1(b)
	}
	if n := min(len(b), len(pires.SIGV2)); !bytes.Equal(b[:n], pires.SIGV2[:n]) {
		return 0, ErrNone
	}
	if len(b) < fixed {
		return 0, nil
	}
	n := fixed + int(binary.BigEndian.Uint16(b[fixed-2:]))
	if n > MaxHeader {
		return 0, fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	return n, nil
}

func length1(b []byte) (int, error) {
	const begins = "PROXY "
	if n := min(len(b), len(begins)); string(b[:n]) != begins[:n] {
		return 0, ErrNone
	}
	b = b[:min(len(b), longest1)]
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		return end + 1, nil
	}
	if len(b) == longest1 {
		return 0, fmt.Errorf("%w: no end within %d bytes", ErrBad, longest1)
	}
	return 0, nil
}

// parse reads a header of which length has told where it ends.
func parse(b []byte) (*Header, error) {
	p, err := pires.Read(bufio.NewReaderSize(bytes.NewReader(b), len(b)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBad, err)
	}
	h := &Header{Version: int(p.Version), Local: p.Command.IsLocal()}
	if h.TLVs, err = p.TLVs(); err == nil && h.Version == 2 && len(h.TLVs) > 0 {
		err = checked(b)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrBad, err)
	case h.Local:
		return h, nil
	case !p.TransportProtocol.IsStream():
		return nil, fmt.Errorf("%w: not of a stream", ErrBad)
	}
	h.Source, h.Destination = p.SourceAddr, p.DestinationAddr
	return h, nil
}

// checked compares a header's CRC32c, if it has one, with its bytes (section 2.2.3). Its TLVs are well
// formed.
func checked(b []byte) error {
	at := fixed
	switch b[fixed-3] >> 4 { // the family
	case 1:
		at += 2 * (4 + 2)
	case 2:
		at += 2 * (16 + 2)
	case 3:
		at += 2 * 108
	}
	for at < len(b) {
		value := at + 3
		end := value + int(binary.BigEndian.Uint16(b[at+1:]))
		if pires.PP2Type(b[at]) == pires.PP2_TYPE_CRC32C {
			if end-value != crc32.Size {
				return errors.New("a CRC32c that is none")
			}
			var zero [crc32.Size]byte
			sum := crc32.Update(crc32.Checksum(b[:value], castagnoli), castagnoli, zero[:])
			if crc32.Update(sum, castagnoli, b[end:]) != binary.BigEndian.Uint32(b[value:]) {
				return errors.New("the CRC32c is not that of the header")
			}
		}
		at = end
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
