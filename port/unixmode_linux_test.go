package port

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The file of a Unix listener has no more than the mode that was asked for from
// the moment it is there: the bind itself makes it so, whatever the umask.
func TestUnixModeWithoutWindow(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	for _, backend := range []string{"uring", "epoll", "std"} {
		p := openOn(t, backend, Config{})
		path := filepath.Join(t.TempDir(), "s")
		s, err := p.b.listen(Addr{Unix: true, Path: path}, SocketOptions{UnixMode: 0o640}) // bound, and nothing else
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.ModeSocket|0o640 {
			t.Errorf("%s: bind made the file with %v", backend, info.Mode())
		}
		p.b.discard(s)
	}
}
