package websocket_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/websocket"
)

// Section 9 of the list, of limits and speed, over real sockets: messages of up to 16 MiB, in one frame and
// in many, in pieces as the client sends them, and a thousand one after the other.
func TestLargeBehaviours(t *testing.T) { behavesLarge(t, echo()) }

// Where messages come in parts, the outcome is the same.
func TestLargeBehavioursInParts(t *testing.T) { behavesLarge(t, gatheredUpTo(16<<20)) }

func behavesLarge(t *testing.T, o *websocket.Options) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(websocket.Handler(o), func(s *proactor.Server) {
			s.Limits = proactor.Limits{MaxMessage: 16<<20 + 1<<10, MaxPending: 64 << 20}
		})
		many, largest, rounds := testenv.Scaled(4<<20), testenv.Scaled(4<<20), testenv.Scaled(1000)
		if testenv.Long() {
			largest *= 4
		}
		star := strings.Repeat("*", max(largest, 1<<20))
		for _, test := range []struct {
			number                     string
			op                         byte
			size, frame, piece, rounds int
		}{
			{"9.1", text, 1 << 20, 16 << 20, 0, 1}, {"9.1", text, largest, 16 << 20, 0, 1},
			{"9.2", binry, 1 << 20, 16 << 20, 0, 1}, {"9.2", binry, largest, 16 << 20, 0, 1},
			{"9.3", text, many, 64, 0, 1}, {"9.3", text, many, 4 << 10, 0, 1}, {"9.3", text, largest, 1 << 20, 0, 1},
			{"9.4", binry, many, 256, 0, 1}, {"9.4", binry, many, 64 << 10, 0, 1},
			{"9.5", text, 1 << 20, 1 << 20, 64, 1}, {"9.5", text, 1 << 20, 1 << 20, 2048, 1},
			{"9.6", binry, 1 << 20, 1 << 20, 512, 1},
			{"9.7", text, 0, 64, 0, rounds}, {"9.7", text, 125, 125, 0, rounds}, {"9.8", binry, 16 << 10, 16 << 10, 0, rounds},
		} {
			t.Run(fmt.Sprintf("%s, %d in %d, %d", test.number, test.size, test.frame, test.piece), func(t *testing.T) {
				c := rig.Client(t, s)
				must.Send(t, c, []byte(request+"\r\n"))
				must.Read(t, c, []byte(upgraded+"\r\n"))
				message, back := []byte(fragments(test.op, star[:test.size], test.frame)), []byte(out(test.op, star[:test.size]))
				for range test.rounds {
					go func() {
						rest, n := message, max(test.piece, 1)
						if test.piece == 0 {
							n = len(rest)
						}
						for ; len(rest) > 0; rest = rest[min(n, len(rest)):] {
							if _, err := c.Write(rest[:min(n, len(rest))]); err != nil {
								t.Error(err)
								return
							}
						}
					}()
					must.Read(t, c, back)
				}
				must.Send(t, c, []byte(in(whole, 0, closing, code(1000, ""))))
				must.ReadEnd(t, c, []byte(out(closing, code(1000, ""))))
				c.Close()
			})
		}
	})
}
