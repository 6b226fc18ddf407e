package echotest

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
)

// Cut feeds a stream to split in pieces, as a connection does: what is not taken
// is shown again with more. pieces gives the size of the next one. The error is
// that of split, or says what it did wrong, such as to leave more than so many
// bytes waiting for others.
func Cut(split bufio.SplitFunc, stream []byte, most int, pieces func() int) (msgs [][]byte, err error) {
	var kept []byte
	for eof := false; ; {
		n := min(max(pieces(), 1), len(stream))
		kept = append(kept, stream[:n]...)
		stream = stream[n:]
		eof = len(stream) == 0
		for {
			advance, msg, err := split(kept, eof)
			if err != nil {
				return msgs, err
			}
			if msg != nil {
				if cap(msg) != len(msg) {
					return msgs, fmt.Errorf("a message of %d bytes with room for %d: append would write over the next", len(msg), cap(msg))
				}
				msgs = append(msgs, bytes.Clone(msg))
			}
			if advance < 0 || advance > len(kept) {
				return msgs, fmt.Errorf("advance %d of %d", advance, len(kept))
			}
			kept = kept[advance:]
			if advance == 0 || len(kept) == 0 && !eof {
				break
			}
		}
		if len(kept) > most {
			return msgs, fmt.Errorf("%d bytes wait for more, %d may", len(kept), most)
		}
		if eof {
			if len(kept) > 0 {
				return msgs, fmt.Errorf("%d bytes left at the end, and no error", len(kept))
			}
			return msgs, nil
		}
	}
}

// Pieces are ways to cut a stream: at once, into bytes, and into pieces of up to
// 15 bytes whose sizes are those of a seed.
func Pieces(seed uint64) map[string]func() int {
	return map[string]func() int{
		"whole": func() int { return math.MaxInt },
		"bytes": func() int { return 1 },
		"seed":  func() int { seed = seed*6364136223846793005 + 1442695040888963407; return int(seed >> 60) },
	}
}
