package volume

import (
	"context"
	"errors"
	"os"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/check"
	"microagent/runtime/driver"
)

// Check reads a source, and changes nothing.
func (s *Store) Check(ctx context.Context, source string) (findings []string, err error) {
	const op = "check volume"
	name, _ := cut(source)
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	judge := func(image *os.File) error {
		info, err := image.Stat()
		if err == nil {
			findings, err = check.Check(image, info.Size())
		}
		return err
	}
	err = s.reading(ctx, op, source, func(ctx context.Context, image origin) error {
		if image.frozen == nil {
			return judge(image.File)
		}
		draft, err := s.nameless(ctx, image)
		if err != nil {
			return err
		}
		defer draft.Close()
		return judge(draft.File)
	})
	err = wrap(op, source, err)
	if e, ok := errors.AsType[*driver.Error](err); ok && errors.Is(err, ext4.ErrUnsupported) {
		e.Class, e.Next = driver.ErrUnsupported, "e2fsck -fn can look at its image"
	}
	return findings, err
}
