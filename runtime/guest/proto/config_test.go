package proto

import (
	"errors"
	"reflect"
	"testing"

	"microagent/runtime/guest/proto/wire"
	"microagent/schema/spec"
)

// TestGuestTravelsWhole fills every key and sees it come out at the other end.
func TestGuestTravelsWhole(t *testing.T) {
	want := spec.Guest{Env: map[string]string{"A": "<b>&\n"}}
	for _, text := range want.Texts() {
		*text.Value = "a " + text.Key
	}
	req := Config{Guest: want}.wire()
	if got, err := GuestOf(req); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v: %v", got, want, err)
	}
	if p := req.GetProcess(); p.GetUser() != want.User || p.GetWorkdir() != want.Workdir || p.GetEnv()["A"] != want.Env["A"] {
		t.Errorf("an exec would take %v", p)
	}
	if got, err := GuestOf(&wire.ConfigureRequest{}); err != nil || !reflect.DeepEqual(got, spec.Guest{}) {
		t.Errorf("of a host that sends none: %+v, %v", got, err)
	}
	var guestErr *GuestError
	if _, err := GuestOf(&wire.ConfigureRequest{Guest: []byte("{")}); !errors.As(err, &guestErr) || guestErr.Code != CodeInvalid {
		t.Errorf("torn: %v", err)
	}
}
