// Package frame cuts a stream of bytes into messages, and writes messages so
// that they can be cut again. It knows bytes and nothing of connections.
//
// Each framing is a small struct whose zero fields have documented defaults,
// with a method Split, a [bufio.SplitFunc] for [bufio.Scanner] or
// proactor.Handler.Split, and methods that write:
//
//	[Delimiter]  messages that end in a delimiter, such as lines
//	[Length]     a length of 1, 2, 4 or 8 bytes before each message
//	[Varint]     a length of as few bytes as it needs before each message
//	[Fixed]      messages of one size
//
// # Ownership
//
// A message that Split returns is a part of the data that it was given: nothing
// is copied, and the message is valid as long as that data is. For a handler
// that is until Message returns. An empty message is not nil. The methods
// that write append to a slice of the caller's and do not keep it, nor the
// message.
//
// # State
//
// A framing has no state: Split may be called by many goroutines, for any
// number of streams. Length, Varint and Fixed look at a few bytes a call. The
// search of a Delimiter begins at the front each time, and so costs the square
// of a message's length if that arrives byte by byte; [Delimiter.Splitter]
// makes a SplitFunc for one stream that remembers how far it came. Use it as
// proactor.Handler.NewSplit.
//
// # Errors
//
// What Split cannot accept is a [*TooLongError], [*ShortLengthError],
// [*VarintError] or, at the end of the stream, a [*CutError]; test with
// errors.As. None of them is recoverable: where the next message begins is not
// known. A framing whose fields make no sense gives [ErrInvalid].
package frame
