//go:build !linux && !windows

package port

var candidates = []candidate{
	{name: "std", open: openStd, auto: true},
	{name: "sim", open: openSim},
}
