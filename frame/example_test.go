package frame_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/proactor-go/proactor/frame"
)

func ExampleLine() {
	sc := bufio.NewScanner(strings.NewReader("HELO there\r\nNOOP\r\nQU"))
	sc.Split(frame.Line(512).Splitter())
	for sc.Scan() {
		fmt.Printf("%q\n", sc.Bytes())
	}
	var cut *frame.CutError
	fmt.Println(errors.As(sc.Err(), &cut), sc.Err())
	// Output:
	// "HELO there"
	// "NOOP"
	// true frame: stream ended after 2 bytes of a message
}

func ExampleLength() {
	f := frame.Length{Bytes: 2, Order: binary.LittleEndian, Max: 1000}
	stream, err := f.Append(nil, []byte("hello"))
	fmt.Printf("%q %v\n", stream, err)

	advance, msg, err := f.Split(stream, false)
	fmt.Printf("%d %q %v\n", advance, msg, err)

	_, _, err = f.Split([]byte("\xff\xff"), false)
	var long *frame.TooLongError
	if errors.As(err, &long) {
		fmt.Println(long.Length, "bytes announced,", long.Max, "allowed")
	}
	// Output:
	// "\x05\x00hello" <nil>
	// 7 "hello" <nil>
	// 65535 bytes announced, 1000 allowed
}

func ExampleVarint() {
	stream, _ := frame.Varint{}.Append(nil, make([]byte, 300))
	fmt.Printf("% x, then %d bytes\n", stream[:2], len(stream)-2)
	// Output:
	// ac 02, then 300 bytes
}
