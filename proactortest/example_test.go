package proactortest_test

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proactortest"
)

// sum answers each line of numbers with their sum.
var sum = proactor.Handler{
	Split: bufio.ScanLines,
	Message: func(c *proactor.Conn, line []byte) {
		sum := 0
		for _, word := range strings.Fields(string(line)) {
			n, _ := strconv.Atoi(word)
			sum += n
		}
		fmt.Fprintln(c, sum)
	},
}

// testSum is a test of that. Were sum a Data that takes what each call brings
// for a line, one of the first seeds would show it.
func testSum(t *testing.T) {
	proactortest.Run(t, func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{Handler: sum})
		c := e.Dial(s)
		c.Send("1 2 3\n10 20")
		c.Expect("6\n")
		c.Send(" 12\n")
		c.Expect("42\n")
		c.CloseWrite()
		c.ExpectEnd()
	})
}

// A test of a handler, on 100 networks.
func Example() {
	// In a _test file it is func TestSum(t *testing.T).
	_ = testSum
}
