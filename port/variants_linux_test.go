package port

import "fmt"

// The uring backend as older kernels let it be, each a backend of its own for
// the conformance suite. None of them is ever chosen by itself.
func init() {
	const base = setupCQSize | setupClamp
	plain := uringWays{flags: []uint32{base}}
	for _, v := range []struct {
		name   string
		ways   uringWays
		shared bool
	}{
		// 5.19 to 6.0: no DEFER_TASKRUN.
		{"uring-coop", uringWays{flags: []uint32{base | setupSingle | setupCoopTaskrun}}, false},
		// Neither flags nor the queue without its array.
		{"uring-plain", plain, true},
		// Before 6.0: a recv is armed for each completion.
		{"uring-oneshot", uringWays{oneshot: true}, true},
		// 6.12 to 6.16: a recv takes all the buffers that there are.
		{"uring-endless", uringWays{endless: true}, true},
		// 6.1 to 6.11: and a completion takes a whole one.
		{"uring-whole", uringWays{endless: true, whole: true}, true},
		// All of it together.
		{"uring-oldest", uringWays{flags: plain.flags, oneshot: true, whole: true, endless: true}, true},
	} {
		candidates = append(candidates, candidate{name: v.name, open: func(p *Port) (backend, error) {
			if p.cfg.Mode == Shared && !v.shared {
				return nil, fmt.Errorf("%w: a shared ring cannot have these flags", ErrUnsupported)
			}
			ways := v.ways
			if ways.flags == nil {
				ways.flags = setups(p.cfg.Mode)
			}
			return openUringWith(p, ways)
		}})
	}
}
