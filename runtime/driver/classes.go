package driver

import "errors"

// classTable has each class with its name in JSON, and the other names by which guests and supervisors of f365b52 send
// it, and whether doing the same again later can go better without anybody having changed anything. An error of several
// classes goes by the first here.
var classTable = []struct {
	class  error
	name   string
	others []string
	retry  bool
}{
	{ErrLocked, "locked", nil, true},
	{ErrGuest, "guest_failed", []string{"guest", "failed"}, true},
	{ErrCorrupt, "corrupt", nil, false},
	{ErrNoSpace, "no_space", []string{"too_large"}, false},
	{ErrStale, "stale", nil, false},
	{ErrTimeout, "timeout", nil, true},
	{ErrRefused, "refused", nil, false},
	{ErrBusy, "busy", nil, true},
	{ErrExists, "exists", nil, false},
	{ErrNotFound, "not_found", nil, false},
	{ErrInvalid, "invalid", nil, false},
	{ErrUnsupported, "not_supported", []string{"unsupported"}, false},
	{ErrUnavailable, "unavailable", nil, true},
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

// RetryHelps says whether doing again what gave err can go better by itself. It is known only of an error with a class.
func RetryHelps(err error) (helps, known bool) {
	for _, row := range classTable {
		if errors.Is(err, row.class) {
			return row.retry, true
		}
	}
	return false, false
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
