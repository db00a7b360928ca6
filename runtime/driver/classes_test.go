package driver

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestNamesOfClasses: JSON that people's programs read, and what running supervisors send.
func TestNamesOfClasses(t *testing.T) {
	for name, class := range map[string]error{
		"locked": ErrLocked, "guest_failed": ErrGuest, "corrupt": ErrCorrupt, "no_space": ErrNoSpace, "stale": ErrStale,
		"timeout": ErrTimeout, "refused": ErrRefused, "busy": ErrBusy, "exists": ErrExists, "not_found": ErrNotFound,
		"invalid": ErrInvalid, "not_supported": ErrUnsupported, "unavailable": ErrUnavailable,
	} {
		if got := ClassName(fmt.Errorf("x: %w", class)); got != name {
			t.Errorf("%v is called %q", class, got)
		}
		if ClassOf(name) != class {
			t.Errorf("%q is %v", name, ClassOf(name))
		}
	}
	for name, class := range map[string]error{"guest": ErrGuest, "unsupported": ErrUnsupported, "": nil, "nonsense": nil} {
		if ClassOf(name) != class {
			t.Errorf("%q is %v", name, ClassOf(name))
		}
	}
	if got := ClassName(errors.New("x")); got != "" {
		t.Errorf("no class is called %q", got)
	}
}

// TestEachClassHasAName reads the classes out of the source.
func TestEachClassHasAName(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		if v, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Err") {
			n++
		}
		return true
	})
	if n == 0 || n != len(classTable) {
		t.Errorf("%d classes and %d names", n, len(classTable))
	}
}
