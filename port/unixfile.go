package port

import (
	"io/fs"
	"os"
	"sync"
)

// socketFile is the file that the bind of a Unix listener made.
type socketFile struct {
	path string
	info os.FileInfo
}

// remove unlinks the file, as package net does when a listener closes. If the path leads to
// another file by now, that of a successor, the file stays. No other file can have the
// inode number of this one, because the inode lives as long as the socket that is bound to it.
func (f socketFile) remove() {
	if now, err := os.Lstat(f.path); err == nil && os.SameFile(now, f.info) {
		os.Remove(f.path)
	}
}

// unixFiles has the files of listeners that no port knows yet.
var unixFiles sync.Map // fileKey to socketFile

// fileKey names a Socket of a backend: each counts its own.
type fileKey struct {
	backend string
	socket  Socket
}

// noteFile remembers the file that the listener was bound to, and gives it the
// mode that was asked for.
func (p *Port) noteFile(s Socket, path string, mode fs.FileMode) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	f := socketFile{path, info}
	if mode != 0 && info.Mode().Perm() != mode {
		if err := widen(f, mode); err != nil {
			f.remove()
			return err
		}
	}
	unixFiles.Store(fileKey{p.name, s}, f)
	return nil
}

// takeFile gives the file of a listener that no port knows yet, once.
func (p *Port) takeFile(s Socket, listener bool) (socketFile, bool) {
	if !listener {
		return socketFile{}, false
	}
	f, ok := unixFiles.LoadAndDelete(fileKey{p.name, s})
	if !ok {
		return socketFile{}, false
	}
	return f.(socketFile), true
}
