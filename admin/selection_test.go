package admin

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
)

// someConns are connections of which many are equal in what a list may be sorted by.
func someConns(rng *rand.Rand, n int) []proactor.ConnInfo {
	addr := func() port.Addr {
		at := uint16(40_000 + rng.IntN(3))
		switch rng.IntN(5) {
		case 0:
			return port.Addr{Unix: true, Path: []string{"", "@", "/run/echo.sock"}[rng.IntN(3)]}
		case 1:
			return port.Addr{AddrPort: netip.AddrPortFrom(netip.MustParseAddr("fe80::1%eth0"), at)}
		}
		return port.Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(4) * 9)}), at)}
	}
	infos := make([]proactor.ConnInfo, n)
	for i := range infos {
		infos[i] = proactor.ConnInfo{
			ID: uint64(i + 1), Local: addr(), Remote: addr(), State: []string{"open", "half-closed", "closing"}[rng.IntN(3)], Idle: time.Duration(rng.IntN(20)),
			ConnStats: proactor.ConnStats{BytesIn: rng.Int64N(10), BytesOut: rng.Int64(), Pending: rng.IntN(3), Age: time.Duration(rng.IntN(n))},
		}
		if rng.IntN(50) == 0 {
			infos[i].ID, infos[i].Local, infos[i].State = 0, port.Addr{}, "connecting"
		}
	}
	rng.Shuffle(n, func(i, k int) { infos[i], infos[k] = infos[k], infos[i] })
	return infos
}

// text is an address as package net writes it.
func text(a port.Addr) string {
	if a.Unix {
		return (&net.UnixAddr{Name: a.Path}).String()
	}
	return net.TCPAddrFromAddrPort(a.AddrPort).String()
}

// naive searches and sorts all.
func (q query) naive(infos []proactor.ConnInfo) (list []proactor.ConnInfo, all int) {
	peers := map[port.Addr]string{}
	for _, v := range infos {
		if q.search == "" || strconv.FormatUint(v.ID, 10) == q.search || strings.Contains(text(v.Local)+"\n"+text(v.Remote)+"\n"+v.State, q.search) {
			list = append(list, v)
		}
	}
	if q.sort == "remote" {
		for _, v := range list {
			peers[v.Remote] = text(v.Remote)
		}
	}
	order := map[string]func(a, b *proactor.ConnInfo) int{
		"id":        func(a, b *proactor.ConnInfo) int { return cmp.Compare(a.ID, b.ID) },
		"remote":    func(a, b *proactor.ConnInfo) int { return strings.Compare(peers[a.Remote], peers[b.Remote]) },
		"state":     func(a, b *proactor.ConnInfo) int { return strings.Compare(a.State, b.State) },
		"bytes_in":  func(a, b *proactor.ConnInfo) int { return cmp.Compare(a.BytesIn, b.BytesIn) },
		"bytes_out": func(a, b *proactor.ConnInfo) int { return cmp.Compare(a.BytesOut, b.BytesOut) },
		"pending":   func(a, b *proactor.ConnInfo) int { return cmp.Compare(a.Pending, b.Pending) },
		"age_ns":    func(a, b *proactor.ConnInfo) int { return cmp.Compare(a.Age, b.Age) },
		"idle_ns":   func(a, b *proactor.ConnInfo) int { return cmp.Compare(a.Idle, b.Idle) },
	}[q.sort]
	slices.SortStableFunc(list, func(a, b proactor.ConnInfo) int {
		n := order(&a, &b)
		if q.down {
			n = -n
		}
		return cmp.Or(n, cmp.Compare(a.ID, b.ID))
	})
	from, all := min(q.from, len(list)), len(list)
	list = list[from:]
	if q.most > 0 {
		list = list[:min(q.most, len(list))]
	}
	return list, all
}

// A part of a list is what it is in the whole list, sorted at once, though most of that is never kept.
func TestSelection(t *testing.T) {
	fields := []string{"id", "remote", "state", "bytes_in", "bytes_out", "pending", "age_ns", "idle_ns"}
	if len(fields) != len(keys) {
		t.Error("lists are sorted by more than is tried")
	}
	for seed := range uint64(testenv.Scaled(200)) {
		rng := rand.New(rand.NewPCG(seed, 22))
		infos := someConns(rng, rng.IntN(400))
		pick := func() int {
			return []int{0, 1, rng.IntN(20), rng.IntN(len(infos) + 1), rng.IntN(2*len(infos) + 2), math.MaxInt}[rng.IntN(6)]
		}
		for range 10 {
			q := query{sort: fields[rng.IntN(len(fields))], down: rng.IntN(2) == 0, from: pick(), most: pick()}
			if rng.IntN(2) == 0 {
				q.search = []string{"open", "1", "17", "10.0.0.9:40001", "[fe80", "40002", "echo.sock", ":0", "nothing"}[rng.IntN(9)]
			}
			s := newSelection(q, rng.IntN(len(infos)+1))
			for i := range infos {
				s.take(&infos[i])
			}
			want, all := q.naive(infos)
			var got []proactor.ConnInfo
			for _, e := range s.list() {
				got = append(got, s.row(e.row).ConnInfo)
			}
			if s.found != all || !slices.Equal(got, want) {
				t.Fatalf("seed %d, %+v: %d of %d, want %d of %d:\n%s\n%s", seed, q, len(got), s.found, len(want), all, fmt.Sprint(got), fmt.Sprint(want))
			}
			if most := min(len(infos), q.from+q.most); q.most > 0 && q.from < 1000 && q.most < 1000 && len(s.kept) > most {
				t.Fatalf("seed %d, %+v: %d are kept", seed, q, len(s.kept))
			}
		}
	}
}
