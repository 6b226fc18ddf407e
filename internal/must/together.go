package must

import (
	"sync"
	"testing"
)

// Together runs the test of each part at once. It is for tests that wait most of the time, and of
// whose parts none looks at the whole process, such as at what is left in it: t.Parallel would
// run as many as there are processors.
func Together[P any](t *testing.T, parts map[string]P, test func(t *testing.T, part P)) {
	t.Helper()
	var all sync.WaitGroup
	for name, part := range parts {
		all.Go(func() { t.Run(name, func(t *testing.T) { test(t, part) }) })
	}
	all.Wait()
}
