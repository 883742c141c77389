//go:build !unix

package main

import "os"

// notifyResize never tells where no signal does: the next frame, a second later at most, asks for the size anyway.
func notifyResize() (resized <-chan os.Signal, stop func()) {
	return nil, func() {}
}
