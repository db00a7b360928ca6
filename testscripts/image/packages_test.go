package image

import (
	"bytes"
	"os"
	"testing"
)

// TestCertificates: an image with ca-certificates has what the package makes of them on the host, so that TLS works in it.
func TestCertificates(t *testing.T) {
	const bundle = "etc/ssl/certs/ca-certificates.crt"
	want, err := os.ReadFile("/" + bundle)
	if err != nil {
		t.Fatal(err)
	}
	files, err := Packages([]string{"ca-certificates"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Path == bundle && bytes.Equal(f.Data, want) {
			return
		}
	}
	t.Errorf("the image has no %s", bundle)
}
