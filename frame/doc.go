// Package frame cuts a stream of bytes into messages, and writes messages so that they
// can be cut again. It knows nothing of connections.
//
// Each framing is a small struct. Zero fields have documented defaults. Its method
// Split is a [bufio.SplitFunc], for [bufio.Scanner] or proactor.Handler.Split; its other methods
// write messages:
//
//	[Delimiter]  messages that end in a delimiter, such as lines
//	[Length]     a length of 1, 2, 4 or 8 bytes before each message
//	[Varint]     a length of as few bytes as it needs before each message
//	[Fixed]      messages of one size
//
// # Ownership
//
// A message that Split returns is a part of the data that Split was given: nothing is
// copied, and the message is valid for as long as that data is. In a handler that is
// until Message returns. An empty message is not nil. The methods that write append to
// the caller's slice; they keep neither the slice nor the message.
//
// # State
//
// A framing has no state: any number of goroutines may call Split, for any number of
// streams. Length, Varint and Fixed look at a few bytes a call. Delimiter.Split
// searches from the front at each call, so a message that arrives byte by byte costs the
// square of its length. [Delimiter.Splitter] makes a SplitFunc for one stream that
// remembers how far it has searched: use it as proactor.Handler.NewSplit.
//
// # Errors
//
// The errors of Split are [*TooLongError], [*ShortLengthError], [*VarintError] and, at
// the end of the stream, [*CutError]; test with errors.As. After any of them the stream
// cannot be read further, because it is not known where the next message begins. A framing with
// fields out of range fails with [ErrInvalid].
package frame
