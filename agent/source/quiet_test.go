package source

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quietPair is a connection to this very process, of which the first end is quiet.
func quietPair(t *testing.T) (quiet, other net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	quiet, err = quietly(new(net.Dialer))(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { quiet.Close() })
	if _, is := quiet.(quietConn); !is {
		t.Fatalf("it is a %T", quiet)
	}
	if other, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return quiet, other
}

// More than any buffer of the kernel goes through, in both directions.
func TestQuietConnectionBringsAllBytes(t *testing.T) {
	quiet, other := quietPair(t)
	want := []byte(strings.Repeat("0123456789abcdef", 1<<20))
	go func() {
		_, _ = io.Copy(other, io.LimitReader(other, int64(len(want))))
		other.Close()
	}()
	go func() { _, _ = quiet.Write(want) }()
	got, err := io.ReadAll(quiet)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes came back (%v)", len(got), len(want), err)
	}
}

func TestQuietConnectionHeedsDeadlines(t *testing.T) {
	quiet, _ := quietPair(t)
	if err := quiet.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := quiet.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read says %v", err)
	}
	if _, err := quiet.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write says %v", err)
	}
}

func TestQuietConnectionSaysThatItIsOver(t *testing.T) {
	quiet, other := quietPair(t)
	if err := other.(*net.TCPConn).SetLinger(0); err != nil { // a reset
		t.Fatal(err)
	}
	other.Close()
	if _, err := quiet.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("after a reset a read says %v", err)
	}
	quiet.Close()
	if _, err := quiet.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after its end a read says %v", err)
	}
}
