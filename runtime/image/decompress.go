package image

import (
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/compress"
)

// layerTypes are the media types of layers that are compressed so.
var layerTypes = map[compress.Format]string{
	compress.Plain: ocispec.MediaTypeImageLayer,
	compress.Gzip:  ocispec.MediaTypeImageLayerGzip,
	compress.Zstd:  ocispec.MediaTypeImageLayerZstd,
}

// decompress gives the plain bytes of r. Closing it does not close r.
func decompress(r io.Reader) (*compress.Reader, error) {
	return compress.Open(r, compress.Limits{Formats: compress.Layers})
}

// sniff tells a stream's compression by its first bytes, if that is one that is read.
func sniff(head []byte) (compress.Format, error) {
	f := compress.Sniff(head)
	return f, compress.Limits{Formats: compress.Layers}.Check(f)
}
