package admin

import (
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"github.com/proactor-go/proactor"
)

// A part of a long list is what it is in the whole list, though the whole is never sorted at once.
func TestPartOfAList(t *testing.T) {
	infos := make([]proactor.ConnInfo, 5*portion+100)
	for i := range infos {
		infos[i].ID, infos[i].Local, infos[i].Remote = uint64(i+1), &net.TCPAddr{}, &net.TCPAddr{}
		infos[i].BytesIn = rand.Int64N(100) // many are equal
		infos[i].State = []string{"open", "closing"}[rand.IntN(2)]
	}
	rand.Shuffle(len(infos), func(i, k int) { infos[i], infos[k] = infos[k], infos[i] })
	for _, by := range []query{{sort: "id"}, {sort: "bytes_in"}, {sort: "bytes_in", down: true}, {sort: "bytes_in", search: "open"}} {
		whole, all := by.apply(infos)
		if all != len(whole) || by.search == "" && all != len(infos) {
			t.Fatalf("%+v: %d of %d", by, all, len(whole))
		}
		for _, part := range [][2]int{{0, 50}, {0, 1}, {700, 300}, {1000, 5000}, {math.MaxInt, 10}, {5, math.MaxInt}, {math.MaxInt, math.MaxInt}} {
			by.from, by.most = part[0], part[1]
			got, n := by.apply(infos)
			want := whole[min(by.from, len(whole)):]
			want = want[:min(by.most, len(want))]
			if n != all || !slices.Equal(got, want) {
				t.Errorf("%+v: %d of %d, want %d of %d", by, len(got), n, len(want), all)
			}
		}
	}
}
