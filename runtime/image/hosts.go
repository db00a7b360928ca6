package image

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	hostsconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"

	"microagent/runtime/driver"
	"microagent/schema/imageref"
)

// ConfigDirs are the folders in which certs.d is looked for: $XDG_CONFIG_HOME/microagent (~/.config/microagent)
// and /etc/microagent.
func ConfigDirs() []string {
	var dirs []string
	if user, err := os.UserConfigDir(); err == nil {
		dirs = append(dirs, filepath.Join(user, "microagent"))
	}
	return append(dirs, "/etc/microagent")
}

// hosts reaches registries as the user's configuration says.
type hosts struct {
	dirs   []string
	docker string
	tell   func(line string)
}

// open gives the image r in its registry. Nothing is asked yet.
func (c hosts) open(r imageref.Reference, arch string) *registry {
	creds := &credentials{dir: c.docker}
	patient, said := &waits{tell: c.tell}, &answers{}
	list := hostsconfig.ConfigureHosts(context.Background(), hostsconfig.HostOptions{
		HostDir:     c.hostDir,
		Credentials: creds.get,
		UpdateClient: func(client *http.Client) error {
			if t, ok := client.Transport.(*http.Transport); ok {
				if t.TLSClientConfig != nil {
					t.TLSClientConfig.MinVersion = tls.VersionTLS12
				}
				client.Transport = &patience{next: t, waits: patient}
			}
			return nil
		},
	})
	watched := func(host string) ([]docker.RegistryHost, error) {
		hosts, err := list(host)
		if err == nil {
			said.watch(hosts)
		}
		return hosts, err
	}
	headers := http.Header{}
	headers.Set("User-Agent", "microagent")
	return &registry{
		ref: r, arch: arch, said: said,
		resolver: docker.NewResolver(docker.ResolverOptions{Hosts: watched, Headers: headers}),
	}
}

// hostDir finds the folder that says how to reach host. A hosts.toml that the library would not go by is an error.
func (c hosts) hostDir(host string) (string, error) {
	for _, dir := range c.dirs {
		found, err := hostsconfig.HostDirFromRoot(filepath.Join(dir, "certs.d"))(host)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		return found, checkHosts(filepath.Join(found, "hosts.toml"))
	}
	return "", errdefs.ErrNotFound
}

// credentials are those of docker's configuration, read when a registry first asks for some.
type credentials struct {
	dir  string
	once sync.Once
	file *configfile.ConfigFile
	err  error
}

// hubKey is the name that docker's configuration has for Docker Hub.
const hubKey = "https://index.docker.io/v1/"

func (c *credentials) get(host string) (user, secret string, err error) {
	c.once.Do(func() {
		dir := c.dir
		if dir == "" {
			dir = config.Dir()
		}
		c.file, c.err = config.Load(dir)
	})
	if c.err != nil {
		return "", "", &driver.Error{
			Class: driver.ErrInvalid, Op: "read", Object: "docker's configuration", Err: c.err, Next: "correct the file",
		}
	}
	if host == "registry-1.docker.io" || host == "docker.io" {
		host = hubKey
	}
	auth, err := c.file.GetAuthConfig(host)
	if err != nil {
		return "", "", &driver.Error{
			Class: driver.ErrRefused, Op: "get credentials for", Object: host,
			Err: fmt.Errorf("docker's credential helper: %w", err), Next: "check the helper that docker's configuration names",
		}
	}
	if auth.IdentityToken != "" {
		return "", auth.IdentityToken, nil
	}
	return auth.Username, auth.Password, nil
}
