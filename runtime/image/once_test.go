package image

import (
	"net/http"
	"path"
	"runtime"
	"sync"
	"testing"
)

// A pull fetches each blob once, the config too, which is looked at before the rest is fetched.
func TestEachBlobIsFetchedOnce(t *testing.T) {
	addr := startRegistry(t, false)
	want := push(t, addr, "app:1", runtime.GOARCH, "one", "two")
	var lock sync.Mutex
	asked := map[string]int{}
	via := proxy(t, addr, func(_ http.ResponseWriter, r *http.Request) bool {
		if path.Base(path.Dir(r.URL.Path)) == "blobs" && r.Method == http.MethodGet {
			lock.Lock()
			asked[path.Base(r.URL.Path)]++
			lock.Unlock()
		}
		return false
	}, nil)
	if img, err := newRemote(t).Pull(t.Context(), ref(via+"/app:1"), "", nil); err != nil || img.Digest != want {
		t.Fatalf("%+v, %v", img, err)
	}
	if len(asked) != 3 {
		t.Errorf("%d blobs were asked for", len(asked))
	}
	for blob, n := range asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", blob, n)
		}
	}
}
