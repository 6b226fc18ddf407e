package slots

import (
	"math/rand/v2"
	"testing"
)

// Whatever is added and removed, each thing is where its number says, no two have one number,
// and no more numbers are used than there ever were things at once.
func TestTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	var table Table[int]
	have, most := map[uint32]*int{}, 0
	for range 20_000 {
		if rng.IntN(5) < 3 {
			v := new(int)
			at := table.Add(v)
			if have[at] != nil {
				t.Fatalf("number %d is given twice", at)
			}
			have[at] = v
		} else {
			for at := range have {
				table.Remove(at)
				delete(have, at)
				if table.At(at) != nil {
					t.Fatalf("number %d was removed, and is there", at)
				}
				break
			}
		}
		most = max(most, len(have))
		if table.Len() != len(have) {
			t.Fatalf("%d things, want %d", table.Len(), len(have))
		}
	}
	if most < 2*chunk || int(table.used) != most {
		t.Errorf("%d numbers for %d things", table.used, most)
	}
	for at, v := range have {
		if table.At(at) != v {
			t.Errorf("number %d is another's", at)
		}
	}
}

// A body that removes what it is given, and adds others, is given each once.
func TestAll(t *testing.T) {
	var table Table[uint32]
	for i := range uint32(3) {
		v := i
		if at := table.Add(&v); at != i {
			t.Fatalf("the number is %d, want %d", at, i)
		}
	}
	var got []uint32
	for v := range table.All {
		got = append(got, *v)
		table.Remove(*v)
		if *v == 0 {
			table.Add(v)
		}
	}
	if len(got) != 3 || table.Len() != 1 {
		t.Errorf("given: %v; %d are left", got, table.Len())
	}
	for range table.All {
		table.Remove(0)
		break
	}
	if table.Len() != 0 {
		t.Errorf("%d are left", table.Len())
	}
}
