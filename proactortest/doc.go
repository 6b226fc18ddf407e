// Package proactortest tests handlers on a simulated network.
//
// [Run] runs a test many times, each time with a server on a network in memory
// that is another one: its seed decides how long everything takes, where the
// streams are cut into pieces, how little fits into the buffers and, if wanted,
// what breaks. The clock is simulated too, and stands still while anybody works:
// an idle timeout of an hour costs nothing, and no test sleeps for real.
//
// The same seed gives the same run. When one fails, the test stops there and
// prints the command that runs this seed alone, with a trace of the network:
//
//	go test -run '^TestChat$' -proactor.seed=17 -v
//
// -proactor.seeds=10000 looks at more of them than the test asks for.
//
// All this runs in a bubble of testing/synctest, where handlers, clients and
// whatever else the test starts use package time as ever. What waits must wait
// for something of the bubble, so no real connection or file that blocks. For
// runs to be the same, further goroutines are started with [Env.Go], and sleep
// with [Env.Sleep].
package proactortest
