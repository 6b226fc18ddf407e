package greet

import (
	"testing"

	"github.com/proactor-go/proactor/samples/echotest"
)

// FuzzHear: in whatever pieces the server's words arrive, the client goes on as soon as
// enough has come, keeps no more than it wants to show, and notes what was not in the
// script.
func FuzzHear(f *testing.F) {
	for i, words := range []string{ServerHello + SayGoodbye, ServerHello + SayGoodbye + "more", "Test Serves\n", ServerHello + "Say", "", ServerHello + ServerHello} {
		f.Add([]byte(words), uint64(i))
	}
	f.Fuzz(func(t *testing.T, words []byte, seed uint64) {
		want, wrong := "", false
		if n := len(ServerHello); len(words) >= n {
			want, wrong = ClientHello, string(words[:n]) != ServerHello
		}
		if len(words) > len(ServerHello) {
			want += Goodbye
		}
		for name, pieces := range echotest.Pieces(seed) {
			k := &client{said: make(chan string, 2*len(script))}
			got := ""
			for rest := words; len(rest) > 0; {
				n := min(max(pieces(), 1), len(rest))
				got += k.hear(rest[:n])
				if rest = rest[n:]; len(k.part) > len(SayGoodbye) {
					t.Fatalf("%s: %d bytes are kept", name, len(k.part))
				}
			}
			if got != want || (k.wrong != nil) != wrong {
				t.Errorf("%s: %q, %v; want %q, %v", name, got, k.wrong, want, wrong)
			}
		}
	})
}
