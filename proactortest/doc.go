// Package proactortest tests handlers on simulated networks.
//
// [Run] runs a test many times, each time with a server on another network in memory.
// The seed of a run decides how long everything takes, where streams are cut into
// pieces, how little fits into the buffers and, if you want, what breaks. The clock is
// simulated, too: it moves only while all goroutines wait. So an idle timeout of an hour costs
// nothing, and no test sleeps for real.
//
// The same seed gives the same run. When a run fails, the test stops there and prints
// the command that repeats this seed alone, with a trace of the network:
//
//	go test -run '^TestChat$' -proactor.seed=17 -v
//
// The flag -proactor.seeds=10000 runs more seeds than the test asks for.
//
// Each run is a bubble of testing/synctest. Handlers, clients and all else that the test
// starts use package time as usual. What they wait for must be inside the bubble: no real
// connection, and no file that blocks. Start further goroutines with [Env.Go], and let them
// sleep with [Env.Sleep]; otherwise two runs of a seed may differ.
package proactortest
