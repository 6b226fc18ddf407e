package frame_test

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/proactor-go/proactor/frame"
)

// BenchmarkSplit cuts 64 messages of 48 bytes from one buffer.
func BenchmarkSplit(b *testing.B) {
	for _, f := range framings {
		b.Run(f.name, func(b *testing.B) {
			var stream []byte
			for range 64 {
				stream, _ = f.w.Append(stream, bytes.Repeat([]byte("x"), 48))
			}
			split := f.split()
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := stream; len(rest) > 0; {
					n, _, err := split(rest, false)
					if err != nil || n == 0 {
						b.Fatal(n, err)
					}
					rest = rest[n:]
				}
			}
		})
	}
}

// BenchmarkByteByByte cuts one line of 10,000 bytes that arrives a byte at a
// time: with a Splitter the cost is that of its length, without that of its
// square.
func BenchmarkByteByByte(b *testing.B) {
	stream := append(bytes.Repeat([]byte("x"), 10_000), "\r\n"...)
	line := frame.Line(len(stream))
	for _, s := range []struct {
		name  string
		split bufio.SplitFunc
	}{{"Split", line.Split}, {"Splitter", line.Splitter()}} {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for i := range stream {
					if _, _, err := s.split(stream[:i+1], false); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
