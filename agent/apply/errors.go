package apply

import "errors"

var (
	// ErrLinkInPath says that a symbolic link stands where a directory or a
	// file was expected. OpenDir and the calls of Dir return it instead of
	// following the link; nothing was opened or changed.
	ErrLinkInPath = errors.New("it is a symbolic link, which is never followed: name the path that it leads to")

	// ErrNotDir says that a component of a path is there, is no link, and is no
	// directory either.
	ErrNotDir = errors.New("not a directory")

	// ErrNoExchange says that the file system cannot exchange two names. Both
	// stand as before; the caller takes the way over Hardlink and Replace.
	ErrNoExchange = errors.New("the file system cannot exchange two names")
)
