package source

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	demux "github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// server is the other side of a fetch, over http or ssh.
type server interface {
	tip(ctx context.Context) (tip, error)
	advert(ctx context.Context) (advert, error)
	pack(ctx context.Context, request string, v2 bool) (packBody, error)
	close()
}

// packBody is the answer to a request for a pack.
type packBody interface {
	io.ReadCloser
	// begun says that the pack has begun: from here on a silence counts as
	// everywhere. Before it a server counts and compresses, and what it says
	// meanwhile may stay in a proxy that collects answers.
	begun()
	// cause is the failure of the network that ended the body, nil when it was the
	// server that did; known is false where the two cannot be told apart.
	cause() (known bool, err error)
}

// firstPack calls begun at the first byte of a pack.
type firstPack struct {
	io.Reader
	begun func()
}

func (f *firstPack) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if n > 0 && f.begun != nil {
		f.begun()
		f.begun = nil
	}
	return n, err
}

// server makes the other side for an address that is not local.
func (r Remote) server(at place) (server, error) {
	if at.scheme == "ssh" {
		return newSSHServer(r, at)
	}
	return newHTTPServer(r, at)
}

// wish is what a fetch asks for.
type wish struct {
	want  plumbing.Hash
	haves []plumbing.Hash
	depth int
	bare  bool // commits only, where the server can leave out the trees
}

// pull asks for a pack and stores its objects. It does not move any ref.
func pull(ctx context.Context, from server, a advert, into *Repo, w wish) error {
	shallow, err := into.store.Shallow()
	if err != nil {
		return err
	}
	request, receive, err := compose(a, w, shallow)
	if err != nil {
		return err
	}
	body, err := from.pack(ctx, request, a.v2)
	if err != nil {
		return orCause(ctx, err)
	}
	defer body.Close()
	if err := receive(body, into); err != nil {
		// What the parsers say about a cut stream is less than what cut it. When
		// nothing did, the server itself gave up.
		if known, cause := body.cause(); cause != nil {
			err = cause
		} else if known && errors.Is(err, io.ErrUnexpectedEOF) {
			err = fail(Garbage, "the server gives up in the middle of its answer; its repository may be damaged")
		}
		return orCause(ctx, err)
	}
	return nil
}

// compose writes the request for a pack, and says how its answer is read.
func compose(a advert, w wish, shallow []plumbing.Hash) (request string, receive func(packBody, *Repo) error, err error) {
	if a.v2 {
		request, err = fetchV2(a.fetch, w, shallow)
		return request, receiveV2, err
	}
	v0, err := newRequest(a.caps, w, shallow)
	if err != nil {
		return "", nil, err
	}
	var text strings.Builder
	err = encodeRequest(&text, v0)
	return text.String(), func(body packBody, into *Repo) error { return receiveV0(body, v0, into) }, err
}

func newRequest(caps *capability.List, w wish, shallow []plumbing.Hash) (*packp.UploadPackRequest, error) {
	if !caps.Supports(capability.Shallow) {
		return nil, fail(Garbage, "the server does not offer shallow fetches")
	}
	// Set by hand and not from the offer: go-git speaks neither multi_ack nor
	// thin packs, and would take both when they are offered.
	request := packp.NewUploadPackRequest()
	for _, c := range []capability.Capability{capability.Sideband64k, capability.OFSDelta, capability.Shallow, capability.NoProgress} {
		if caps.Supports(c) {
			if err := request.Capabilities.Set(c); err != nil {
				return nil, err
			}
		}
	}
	if w.bare && caps.Supports(capability.Filter) {
		if err := request.Capabilities.Set(capability.Filter); err != nil {
			return nil, err
		}
		request.Filter = packp.FilterTreeDepth(0)
	}
	request.Wants = []plumbing.Hash{w.want}
	request.Haves = w.haves
	request.Shallows = shallow
	request.Depth = packp.DepthCommits(w.depth)
	return request, nil
}

func encodeRequest(to io.Writer, request *packp.UploadPackRequest) error {
	if err := request.UploadRequest.Encode(to); err != nil {
		return err
	}
	if err := request.UploadHaves.Encode(to, false); err != nil {
		return err
	}
	_, err := io.WriteString(to, pkt("done\n"))
	return err
}

// receiveV0 reads the answer to a pack request: what is shallow now, then the pack.
func receiveV0(body packBody, request *packp.UploadPackRequest, into *Repo) error {
	response := packp.NewUploadPackResponse(request)
	if err := response.Decode(body); err != nil {
		return err
	}
	var stream io.Reader = response
	if request.Capabilities.Supports(capability.Sideband64k) {
		stream = demux.NewDemuxer(demux.Sideband64k, response)
	}
	err := packfile.UpdateObjectStorage(into.store, &firstPack{stream, body.begun})
	if err != nil && !errors.Is(err, packfile.ErrEmptyPackfile) {
		return err
	}
	return into.setShallow(response.Shallows)
}
