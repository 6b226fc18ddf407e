//go:build !linux

package port

import "io/fs"

// setsMode: elsewhere the file is made by the umask, which is the whole process's;
// to change it for a moment would change the files that others make meanwhile.
const setsMode = false

func presetMode(int, fs.FileMode) error   { return ErrUnsupported }
func widen(socketFile, fs.FileMode) error { return ErrUnsupported }
