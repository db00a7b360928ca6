package image

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/layout"
)

// htpasswd lets user "me" in with the password "secret": `htpasswd -nbB -C 5 me secret`.
const htpasswd = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"

// tool skips the test when a tool that it needs is absent.
func tool(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// startRegistry runs a real registry on loopback and gives its address.
func startRegistry(t *testing.T, auth bool) string {
	t.Helper()
	tool(t, "docker-registry")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	config := "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " + dir + "/data}, delete: {enabled: true}}\nhttp: {addr: \"" + addr + "\"}\n"
	if auth {
		if err := os.WriteFile(dir+"/htpasswd", []byte(htpasswd), 0o600); err != nil {
			t.Fatal(err)
		}
		config += "auth: {htpasswd: {realm: test, path: " + dir + "/htpasswd}}\n"
	}
	if err := os.WriteFile(dir+"/config.yml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", dir+"/config.yml")
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	for deadline := time.Now().Add(30 * time.Second); ; {
		if resp, err := http.Get("http://" + addr + "/v2/"); err == nil {
			resp.Body.Close()
			return addr
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("registry: %v\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the registry does not come up")
		}
	}
}

// remote is a store that knows registries by a hosts.toml.
type remote struct {
	*Store
	state  layout.State
	config string // the folder above certs.d
	docker string // the folder with docker's config.json
}

func newRemote(t *testing.T) *remote {
	r := &remote{state: layout.State{Dir: t.TempDir()}, config: t.TempDir(), docker: t.TempDir()}
	r.Store = New(Config{State: r.state, ConfigDirs: []string{t.TempDir(), r.config}, DockerConfig: r.docker})
	return r
}

// hosts says how to reach a registry.
func (r *remote) hosts(t *testing.T, host, toml string) {
	t.Helper()
	dir := filepath.Join(r.config, "certs.d", host)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mirror sends all of Docker Hub to addr, over plain http.
func (r *remote) mirror(t *testing.T, addr string) {
	r.hosts(t, "docker.io", `server = "http://`+addr+`"`+"\n")
}

func (r *remote) login(t *testing.T, key, user, password string) {
	t.Helper()
	data, _ := json.Marshal(map[string]any{"auths": map[string]any{
		key: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))},
	}})
	if err := os.WriteFile(filepath.Join(r.docker, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func ref(name string) driver.ImageSource { return driver.ImageSource{Ref: name} }

// push puts an image of arch with one layer for each text into the registry.
func push(t *testing.T, addr, name, arch string, texts ...string) (digest string) {
	t.Helper()
	tool(t, "skopeo")
	dir := t.TempDir()
	b := newBuilder(t)
	var layers []testLayer
	for i, text := range texts {
		layers = append(layers, testLayer{small(t, text), compress.Layers[i%2]})
	}
	d := b.image(arch, layers...)
	b.tag("x", d)
	b.write(dir)
	run(t, "skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "--dest-creds=me:secret", "oci:"+dir+":x", "docker://"+addr+"/"+name)
	return d.Digest.String()
}

// pushIndex puts an index of several architectures there.
func pushIndex(t *testing.T, addr, name string, archs ...string) map[string]string {
	t.Helper()
	tool(t, "skopeo")
	dir := t.TempDir()
	b := newBuilder(t)
	idx := b.index
	digests := map[string]string{}
	for _, arch := range archs {
		arch, variant, _ := strings.Cut(arch, "/")
		d := b.image(arch, testLayer{small(t, arch+variant), compress.Gzip})
		d.Platform.Variant = variant
		digests[arch+variant] = d.Digest.String()
		idx.Manifests = append(idx.Manifests, d)
	}
	idx.SchemaVersion = 2
	idx.MediaType = "application/vnd.oci.image.index.v1+json"
	b.tag("x", b.json(idx.MediaType, idx))
	b.write(dir)
	run(t, "skopeo", "copy", "--all", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "oci:"+dir+":x", "docker://"+addr+"/"+name)
	return digests
}

// readAll reads every layer of an image.
func readAll(t *testing.T, s *Store, digest string) ([]string, error) {
	t.Helper()
	layers, err := s.Layers(t.Context(), digest)
	if err != nil {
		return nil, err
	}
	defer layers.Close()
	var list []string
	for i := range layers.Len() {
		r, err := layers.Open(t.Context(), i)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, err
		}
		list = append(list, string(data))
	}
	return list, nil
}

func TestConformanceRegistry(t *testing.T) {
	addr := startRegistry(t, false)
	push(t, addr, "library/alpine:latest", runtime.GOARCH, "one", "two")
	drivertest.Images(t, func(t *testing.T) (driver.Images, drivertest.ImageSources) {
		r := newRemote(t)
		r.mirror(t, addr)
		return r.Store, drivertest.ImageSources{Here: ref("alpine"), Gone: ref("nobody/has:it")}
	})
}

func TestRegistryByItsOwnName(t *testing.T) {
	addr := startRegistry(t, false)
	want := push(t, addr, "team/app:1", runtime.GOARCH, "one")
	r := newRemote(t)
	img, err := r.Pull(t.Context(), ref(addr+"/team/app:1"), "", nil)
	if err != nil || img.Digest != want || img.Ref != addr+"/team/app:1" {
		t.Fatalf("%+v, %v", img, err)
	}
	c := img.Config
	if c.Env["PATH"] != "/bin" || c.Env["GREETING"] != "a=b" || len(c.Env) != 2 || c.User != "1000" || c.WorkingDir != "/work" ||
		c.StopSignal != "SIGINT" || len(c.Entrypoint) != 1 {
		t.Errorf("config %+v", c)
	}
	byDigest, err := r.Pull(t.Context(), ref(addr+"/team/app@"+want), "", nil)
	if err != nil || byDigest.Digest != want {
		t.Errorf("by digest: %+v, %v", byDigest, err)
	}
}

func TestPlatforms(t *testing.T) {
	addr := startRegistry(t, false)
	digests := pushIndex(t, addr, "many:1", "s390x", "amd64/v3", "amd64", "arm64/v8")
	for arch, want := range map[string]string{"amd64": "amd64", "arm64": "arm64v8", "s390x": "s390x"} {
		state := layout.State{Dir: t.TempDir()}
		s := New(Config{State: state, ConfigDirs: []string{}, DockerConfig: t.TempDir(), Arch: arch})
		head, err := s.Head(t.Context(), ref(addr+"/many:1"))
		if err != nil || head.Digest != digests[want] {
			t.Errorf("Head for %s: %+v, %v", arch, head, err)
		}
		img, err := s.Pull(t.Context(), ref(addr+"/many:1"), head.Digest, nil)
		if err != nil || img.Digest != digests[want] {
			t.Errorf("Pull for %s: %+v, %v", arch, img, err)
		}
	}
	s := New(Config{State: layout.State{Dir: t.TempDir()}, ConfigDirs: []string{}, DockerConfig: t.TempDir(), Arch: "riscv64"})
	push(t, addr, "one:1", "s390x", "x")
	for name, have := range map[string]string{"many:1": "linux/amd64, linux/amd64/v3, linux/arm64, linux/s390x", "one:1": "linux/s390x"} {
		_, err := s.Pull(t.Context(), ref(addr+"/"+name), "", nil)
		if !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), have) || !strings.Contains(err.Error(), "linux/riscv64") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	addr := startRegistry(t, true)
	want := push(t, addr, "library/private:1", runtime.GOARCH, "one")
	check := func(t *testing.T, r *remote, name string) {
		t.Helper()
		if img, err := r.Pull(t.Context(), ref(name), "", nil); err != nil || img.Digest != want {
			t.Errorf("%+v, %v", img, err)
		}
	}
	t.Run("config", func(t *testing.T) {
		r := newRemote(t)
		r.login(t, addr, "me", "secret")
		check(t, r, addr+"/library/private:1")
	})
	t.Run("helper", func(t *testing.T) {
		r := newRemote(t)
		bin := t.TempDir()
		helper := "#!/bin/sh\nread host\n[ \"$1 $host\" = \"get " + addr + "\" ] || exit 1\necho '{\"ServerURL\":\"'$host'\",\"Username\":\"me\",\"Secret\":\"secret\"}'\n"
		if err := os.WriteFile(bin+"/docker-credential-fortest", []byte(helper), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		if err := os.WriteFile(r.docker+"/config.json", []byte(`{"credHelpers":{"`+addr+`":"fortest"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, r, addr+"/library/private:1")
	})
	t.Run("docker hub's key", func(t *testing.T) {
		r := newRemote(t)
		r.login(t, hubKey, "me", "secret")
		c := &credentials{dir: r.docker}
		for _, host := range []string{"docker.io", "registry-1.docker.io"} {
			if user, secret, err := c.get(host); err != nil || user != "me" || secret != "secret" {
				t.Errorf("%s: %q %q %v", host, user, secret, err)
			}
		}
	})
	t.Run("none and wrong", func(t *testing.T) {
		for _, password := range []string{"", "wrong"} {
			r := newRemote(t)
			if password != "" {
				r.login(t, addr, "me", password)
			}
			_, err := r.Pull(t.Context(), ref(addr+"/library/private:1"), "", nil)
			if !errors.Is(err, driver.ErrRefused) || !strings.Contains(driver.Next(err), "docker login "+addr) {
				t.Errorf("password %q: %v (next: %s)", password, err, driver.Next(err))
			}
			if strings.Contains(fmt.Sprint(err), "wrong") {
				t.Errorf("the error tells the password: %v", err)
			}
		}
	})
	t.Run("broken config", func(t *testing.T) {
		r := newRemote(t)
		if err := os.WriteFile(r.docker+"/config.json", []byte(`{`), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := r.Pull(t.Context(), ref(addr+"/library/private:1"), "", nil)
		if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "config.json") {
			t.Error(err)
		}
	})
}

func TestTagThatMoves(t *testing.T) {
	addr := startRegistry(t, false)
	r := newRemote(t)
	r.mirror(t, addr)
	first := push(t, addr, "library/app:1", runtime.GOARCH, "one")
	if _, err := r.Pull(t.Context(), ref("app:1"), first, nil); err != nil {
		t.Fatal(err)
	}
	second := push(t, addr, "library/app:1", runtime.GOARCH, "two")
	if img, err := r.Find(t.Context(), ref("app:1")); err != nil || img.Digest != first {
		t.Errorf("a name keeps its digest until it is pulled again: %+v, %v", img, err)
	}
	if img, err := r.Head(t.Context(), ref("app:1")); err != nil || img.Digest != second {
		t.Errorf("Head: %+v, %v", img, err)
	}
	if _, err := r.Pull(t.Context(), ref("app:1"), second, nil); err != nil {
		t.Fatal(err)
	}
	list, err := r.List(t.Context())
	if err != nil || len(list) != 2 || list[0].Ref != "docker.io/library/app:1" || list[1].Ref != "docker.io/library/app@"+first {
		t.Errorf("List: %+v, %v", list, err)
	}
	other := newRemote(t)
	other.mirror(t, addr)
	if img, err := other.Pull(t.Context(), ref("app:1"), first, nil); err != nil || img.Digest != first {
		t.Errorf("the digest that a plan names is fetched though the tag moved: %+v, %v", img, err)
	}
	for _, img := range list {
		if err := r.Remove(t.Context(), img.Ref); err != nil {
			t.Error(err)
		}
	}
	if left := blobFiles(t, r.state); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
