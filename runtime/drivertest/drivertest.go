// Package drivertest holds the conformance suite of each driver contract, which every implementation runs,
// and fakes in memory that pass the same suites. A suite is a function named after its contract; its fake is
// named Fake and the contract. Only tests import it.
package drivertest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantClass(t *testing.T, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Errorf("got error %v, want class %q", err, class)
	}
}

// fakeDigest stands for the digest of v's record.
func fakeDigest(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func fakeName(op, name string) error {
	if layout.ValidName(name) {
		return nil
	}
	return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: fmt.Sprintf("%q", name), Err: errors.New("not a name")}
}

func sortedValues[V any](m map[string]V) []V {
	var list []V
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[k])
	}
	return list
}
