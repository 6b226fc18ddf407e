package packet

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/proactor-go/proactor/samples/echotest"
)

// FuzzPacket compares what is echoed, and the last line, with the model of the
// server, for every framing that the options can say and whatever pieces the
// bytes arrive in. No more is kept than a packet may have.
func FuzzPacket(f *testing.F) {
	f.Add([]byte("\x03hi\x01\x00"), uint8(0), false, false, uint16(100), uint64(1))
	f.Add([]byte("\x00\x02\x00\x05abc\x00\x01"), uint8(1), true, false, uint16(9), uint64(2))
	f.Add([]byte("\x01\x00\x00\x00a\xff\xff\xff\xff"), uint8(2), false, true, uint16(9), uint64(3))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), uint8(3), true, true, uint16(1000), uint64(4))
	f.Add([]byte("\x08\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00"), uint8(3), false, false, uint16(1000), uint64(5))
	f.Fuzz(func(t *testing.T, sent []byte, header uint8, big, bodyOnly bool, most uint16, seed uint64) {
		m := framing{header: 1 << (header % 4), order: binary.LittleEndian, bodyOnly: bodyOnly, most: int(most)}
		if big {
			m.order = binary.BigEndian
		}
		if m.most <= m.header || len(sent) > 1<<12 {
			return
		}
		o := m.options()
		srv, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		want := m.owed(sent, true)
		for name, pieces := range echotest.Pieces(seed) {
			packets, end := echotest.Cut(srv.Handler.Split, sent, m.most-1, pieces)
			got := append(bytes.Join(packets, nil), o.complaint(end)...)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %q, %v; want %q", name, got, end, want)
			}
		}
	})
}
