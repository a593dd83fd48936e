package source

import (
	"context"
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// server is the other side of a fetch, over http or ssh.
type server interface {
	head(ctx context.Context, branch string) (plumbing.Hash, error)
	advert(ctx context.Context, branch string) (advert, error)
	pack(ctx context.Context, request *packp.UploadPackRequest) (io.ReadCloser, error)
	close()
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
func pull(ctx context.Context, from server, caps *capability.List, into *Repo, w wish) error {
	request, err := newRequest(caps, into, w)
	if err != nil {
		return err
	}
	body, err := from.pack(ctx, request)
	if err != nil {
		return orCause(ctx, err)
	}
	defer body.Close()
	if err := receive(body, request, into); err != nil {
		// What the parsers say about a cut stream is less than what cut it.
		if a, is := body.(*answer); is && a.broken != nil {
			err = a.broken
		}
		return orCause(ctx, err)
	}
	return nil
}

func newRequest(caps *capability.List, into *Repo, w wish) (*packp.UploadPackRequest, error) {
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
	shallow, err := into.store.Shallow()
	if err != nil {
		return nil, err
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

// receive reads the answer to a pack request: what is shallow now, then the pack.
func receive(body io.ReadCloser, request *packp.UploadPackRequest, into *Repo) error {
	response := packp.NewUploadPackResponse(request)
	if err := response.Decode(body); err != nil {
		return err
	}
	var stream io.Reader = response
	if request.Capabilities.Supports(capability.Sideband64k) {
		stream = sideband.NewDemuxer(sideband.Sideband64k, response)
	}
	err := packfile.UpdateObjectStorage(into.store, stream)
	if err != nil && !errors.Is(err, packfile.ErrEmptyPackfile) {
		return err
	}
	return into.setShallow(response.Shallows)
}
