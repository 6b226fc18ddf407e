package tls_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
)

// sealer makes the records of one side of TLS 1.3 with AES-128-GCM, such as crypto/tls would never
// send.
type sealer struct {
	t      testing.TB
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// Kinds of records.
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
)

// newSealer is for the side with that label in the key log, which has sent no record yet since its
// part of the handshake.
func newSealer(t testing.TB, log, label string) *sealer {
	t.Helper()
	k := &sealer{t: t}
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); f[0] == label {
			k.secret, _ = hex.DecodeString(f[2])
		}
	}
	k.rekey()
	return k
}

// handshakes has a client of crypto/tls shake hands over c, and gives what seals for it. The
// test is skipped where another cipher is preferred.
func handshakes(t testing.TB, c net.Conn, dials *tls.Config) (*tls.Conn, *sealer) {
	t.Helper()
	var keys must.Log
	dials = dials.Clone()
	dials.KeyLogWriter, dials.MinVersion = &keys, tls.VersionTLS13
	client := tls.Client(c, dials)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if client.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("another cipher is preferred here")
	}
	return client, newSealer(t, keys.String(), "CLIENT_TRAFFIC_SECRET_0")
}

func (s *sealer) expand(label string, n int) []byte {
	full := "tls13 " + label
	info := append([]byte{0, byte(n), byte(len(full))}, full...)
	out, err := hkdf.Expand(sha256.New, s.secret, string(append(info, 0)), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// rekey takes the keys of the secret.
func (s *sealer) rekey() {
	block, err := aes.NewCipher(s.expand("key", 16))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		s.t.Fatal(err)
	}
	s.iv, s.seq = s.expand("iv", 12), 0
}

// seal makes a record.
func (s *sealer) seal(kind byte, body []byte) []byte { return s.padded(kind, body, 0) }

// padded makes a record with zeros behind the body (RFC 8446, 5.4).
func (s *sealer) padded(kind byte, body []byte, zeros int) []byte {
	nonce := bytes.Clone(s.iv)
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], s.seq)
	for i, b := range seq {
		nonce[4+i] ^= b
	}
	s.seq++
	inner := append(append(bytes.Clone(body), kind), make([]byte, zeros)...)
	n := len(inner) + s.aead.Overhead()
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return s.aead.Seal(head, nonce, inner, head)
}

// update makes a KeyUpdate, which asks for one of the other side, and has the new keys from then on.
func (s *sealer) update() []byte {
	wire := s.seal(recordHandshake, []byte{24, 0, 0, 1, 1})
	s.secret = s.expand("traffic upd", sha256.Size)
	s.rekey()
	return wire
}
