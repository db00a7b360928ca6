package driver

import "errors"

// classTable has each class with its name in JSON, and the other names by which guests and supervisors of f365b52 send
// it. An error of several classes goes by the first here.
var classTable = []struct {
	class  error
	name   string
	others []string
}{
	{ErrLocked, "locked", nil},
	{ErrGuest, "guest_failed", []string{"guest", "failed"}},
	{ErrCorrupt, "corrupt", nil},
	{ErrNoSpace, "no_space", []string{"too_large"}},
	{ErrStale, "stale", nil},
	{ErrTimeout, "timeout", nil},
	{ErrRefused, "refused", nil},
	{ErrBusy, "busy", nil},
	{ErrExists, "exists", nil},
	{ErrNotFound, "not_found", nil},
	{ErrInvalid, "invalid", nil},
	{ErrUnsupported, "not_supported", []string{"unsupported"}},
	{ErrUnavailable, "unavailable", nil},
}

// ClassName is the name of err's class in JSON, "" when it has none.
func ClassName(err error) string {
	for _, row := range classTable {
		if errors.Is(err, row.class) {
			return row.name
		}
	}
	return ""
}

// ClassOf is the class of a name, nil when there is none.
func ClassOf(name string) error {
	for _, row := range classTable {
		if row.name == name {
			return row.class
		}
		for _, other := range row.others {
			if other == name {
				return row.class
			}
		}
	}
	return nil
}
