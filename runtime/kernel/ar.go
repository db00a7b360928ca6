package kernel

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// arMagic begins an ar archive, and each member's header ends with arEnd: ar(5), deb(5).
const (
	arMagic  = "!<arch>\n"
	arEnd    = "`\n"
	arHeader = 60 // bytes: the name in the first 16, the size in decimals in 48 to 58
)

// arMember gives the content of the first member of an ar archive whose name begins with prefix, and that name; "" and
// io.EOF when there is none.
func arMember(r io.Reader, prefix string) (io.Reader, string, error) {
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != arMagic {
		return nil, "", errors.New("it is no Debian package")
	}
	header := make([]byte, arHeader)
	for {
		if _, err := io.ReadFull(r, header); errors.Is(err, io.EOF) {
			return nil, "", io.EOF
		} else if err != nil {
			return nil, "", fmt.Errorf("read the package: %w", err)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(header[48:58])), 10, 64)
		if err != nil || size < 0 || string(header[58:]) != arEnd {
			return nil, "", errors.New("read the package: a member's header is damaged")
		}
		if name := strings.TrimSuffix(strings.TrimSpace(string(header[:16])), "/"); strings.HasPrefix(name, prefix) {
			return io.LimitReader(r, size), name, nil
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); errors.Is(err, io.EOF) {
			return nil, "", errors.New("read the package: it ends inside a member")
		} else if err != nil {
			return nil, "", fmt.Errorf("read the package: %w", err)
		}
	}
}
