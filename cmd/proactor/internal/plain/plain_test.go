package plain

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"200 OK, \"grün\" \\ 日本":    "200 OK, \"grün\" \\ 日本",
		"\x1b[2J\x1b]0;title\x07":   `\x1b[2J\x1b]0;title\a`,
		"a\r\nb\tc\x00\x7f":         `a\r\nb\tc\x00\x7f`,
		"\u009b2J\xc2\x9b":          `\u009b2J\u009b`, // CSI in one character
		"\x9b2J\xff":                `\x9b2J\xff`,
		"\u202egnp.exe\u200b\u2028": `\u202egnp.exe\u200b\u2028`,
		"\ufffd":                    "\ufffd",
	} {
		if got := Text(text); got != want {
			t.Errorf("Text(%q) = %q, want %q", text, got, want)
		}
	}
}

// What is encoded means the same, and a terminal takes none of it for an order.
func TestJSON(t *testing.T) {
	const text = "a\x1b\x7f\u009b2J grün \u202e\U000e0001 \"\\"
	encoded, err := json.MarshalIndent([]string{text}, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	shown := JSON(encoded)
	var got []string
	if err := json.Unmarshal(shown, &got); err != nil || len(got) != 1 || got[0] != text {
		t.Errorf("%q, %v", got, err)
	}
	if want := `a\u001b\u007f\u009b2J grün \u202e\udb40\udc01 \"\\`; !strings.Contains(string(shown), want) {
		t.Errorf("%s; want %s", shown, want)
	}
}

// However the text is cut, the terminal gets the same.
func TestWriter(t *testing.T) {
	const text = "one\r\ntwo\tgrün 日本\r three\x1b[31m\xff\xe6\n\r\r\n\u009b"
	const want = "one\ntwo\tgrün 日本\\r three\\x1b[31m\\xff\\xe6\n\\r\n\\u009b"
	for size := 1; size <= len(text); size++ {
		var got strings.Builder
		w := NewWriter(&got)
		for rest := text; len(rest) > 0; {
			n := min(size, len(rest))
			if took, err := w.Write([]byte(rest[:n])); took != n || err != nil {
				t.Fatalf("%d, %v", took, err)
			}
			rest = rest[n:]
		}
		if got.String() != want {
			t.Errorf("in pieces of %d: %q, want %q", size, got.String(), want)
		}
	}
}
