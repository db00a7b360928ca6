package testscripts

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// registry ARCHIVE REPOSITORY:TAG: serves the archive's image from a registry on loopback, under docker.io's name, by
// way of certs.d as users behind a proxy do. It ends with the script.
func registry(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "registry ARCHIVE REPOSITORY:TAG")
	port, err := freePort()
	ts.Check(err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	dir := ts.MkAbs("registry")
	ts.Check(os.MkdirAll(dir, 0o755))
	config := filepath.Join(dir, "config.yml")
	ts.Check(os.WriteFile(config, fmt.Appendf(nil, "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n",
		filepath.Join(dir, "data"), address), 0o644))
	server := exec.Command("docker-registry", "serve", config)
	server.Dir = dir
	ts.Check(server.Start())
	ts.Defer(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the registry does not answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Check(ts.Exec("skopeo", "copy", "--insecure-policy", "--quiet", "--dest-tls-verify=false", "oci-archive:"+ts.MkAbs(args[0]), "docker://"+address+"/"+args[1]))
	hosts := filepath.Join(ts.Getenv("XDG_CONFIG_HOME"), "microagent", "certs.d", "docker.io")
	ts.Check(os.MkdirAll(hosts, 0o755))
	ts.Check(os.WriteFile(filepath.Join(hosts, "hosts.toml"),
		fmt.Appendf(nil, "server = \"http://%s\"\n\n[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", address, address), 0o644))
}
