package refresh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"microagent/apply/folder"
	"microagent/plan"
	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/schema"
	"microagent/schema/spec"
)

// headTimeout bounds what one registry may cost a plan.
const headTimeout = 10 * time.Second

func sources(ctx context.Context, d driver.Set, m *schema.Manifest, files *folder.Folder, rec recorded, drafts bool) (map[string]observed.Source, error) {
	var mu sync.Mutex
	found := map[string]observed.Source{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	look := d.Disks.DigestBundle
	if drafts {
		look = d.Disks.DraftBundle
	}
	for name, b := range m.Bundles {
		g.Go(func() error {
			var known *driver.Fingerprint
			if r, ok := rec.bundles[m.Project+"."+name]; ok && r.Source == b.Source {
				known = &r.Fingerprint
			}
			src := driver.BundleSource{Files: files, Path: b.Source, Exclude: b.Exclude}
			digest, err := look(ctx, src, known)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			o := observed.Source{Digest: digest.Fingerprint.Digest, Entries: digest.Entries, Bytes: digest.Bytes}
			if err == nil {
				_, missing := d.Disks.FindBundle(ctx, o.Digest)
				o.Built = missing == nil
			}
			o.Err, o.Next, o.Refused = sentence(err)
			mu.Lock()
			defer mu.Unlock()
			found[name] = o
			return nil
		})
	}
	return found, g.Wait()
}

// sentence is an error for the planner: what it was, what to do next, and whether it is a refusal for safety.
func sentence(err error) (why, next string, refused bool) {
	if err == nil {
		return "", "", false
	}
	return err.Error(), driver.Next(err), errors.Is(err, driver.ErrRefused)
}

func images(ctx context.Context, d driver.Set, m *schema.Manifest, files *folder.Folder, known map[string]observed.Workspace, o Options) (map[string]observed.Image, error) {
	recorded := map[string]string{} // by reference as written
	refs := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) { // the last one decides when an apply got half-way
		ws := m.Workspaces[name]
		refs[ws.Image] = true
		for _, disk := range plan.Formerly(m, plan.KindWorkspace, name) {
			old, ok := known[disk]
			if project, _, _ := strings.Cut(disk, "."); ok && old.Spec.Project == project {
				if old.Spec.Image == ws.Image || old.Spec.Image == o.normal(ws.Image) {
					recorded[ws.Image] = old.Spec.ImageDigest
				}
				break
			}
		}
	}
	var mu sync.Mutex
	found := map[string]observed.Image{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for ref := range refs {
		g.Go(func() error {
			img := image(ctx, d.Images, driver.ImageSource{Ref: ref, Files: files}, recorded[ref], o)
			mu.Lock()
			defer mu.Unlock()
			found[ref] = img
			return ctx.Err()
		})
	}
	return found, g.Wait()
}

// image says what ref stands for: a record's digest holds until a pull is asked for, then comes the store or the
// file, then the registry.
func image(ctx context.Context, images driver.Images, src driver.ImageSource, recorded string, o Options) observed.Image {
	img, err := images.Find(ctx, src)
	file := err == nil && img.From == "file"
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		why, next, refused := sentence(err)
		return observed.Image{Ref: src.Ref, Err: why, Next: next, Refused: refused}
	}
	moved := ""
	switch {
	case file:
	case o.Pull && !o.Offline:
		head, err := head(ctx, images, src)
		if err != nil {
			why, next, refused := sentence(err)
			return observed.Image{Ref: src.Ref, Err: why, Next: next, Refused: refused}
		}
		if recorded != "" && head.Digest != recorded {
			moved = head.Digest
		}
		img = head
	case recorded != "":
		img = driver.Image{Ref: o.normal(src.Ref), Digest: recorded, From: "record"}
	case err == nil:
	case o.Offline:
		return observed.Image{Ref: o.normal(src.Ref)}
	default:
		found, err := head(ctx, images, src)
		if errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrTimeout) {
			return observed.Image{Ref: o.normal(src.Ref), From: "registry", Next: err.Error()}
		}
		if err != nil {
			why, next, refused := sentence(err)
			return observed.Image{Ref: src.Ref, Err: why, Next: next, Refused: refused}
		}
		img = found
	}
	seen := observed.Image{Ref: img.Ref, Digest: img.Digest, From: img.From, Size: img.Size, Moved: moved}
	if stored, err := images.Get(ctx, img.Digest); err == nil {
		seen.InStore = true
		seen.Size = stored.Size
		seen.Config = spec.ImageConfig(stored.Config)
	}
	return seen
}

func head(ctx context.Context, images driver.Images, src driver.ImageSource) (driver.Image, error) {
	ctx, cancel := context.WithTimeout(ctx, headTimeout)
	defer cancel()
	img, err := images.Head(ctx, src)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		err = &driver.Error{Class: driver.ErrTimeout, Op: "ask registry for", Object: src.Ref,
			Err: fmt.Errorf("no answer within %s", headTimeout), Next: "check the network, or say --offline"}
	}
	return img, err
}

func disks(m *schema.Manifest, files *folder.Folder) map[string]observed.Disk {
	found := map[string]observed.Disk{}
	for name, d := range m.Disks {
		found[name] = disk(d.Path, files)
	}
	return found
}

// disk looks at a user's disk: a regular file that the caller owns.
func disk(path string, files *folder.Folder) observed.Disk {
	seen := observed.Disk{Path: files.Resolve(path)}
	info, err := files.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		seen.Err, seen.Next = "disk "+path+" does not exist", "make it with mkfs.ext4, or declare a volume instead"
	case err != nil:
		seen.Err, seen.Next, seen.Refused = sentence(err)
	case info.Mode()&fs.ModeType == fs.ModeDevice:
		seen.Err, seen.Next = "disk "+path+" is a block device, which a manifest does not get", "name an ext4 image file, or attach the device yourself: run --disk or create --disk"
	case !info.Mode().IsRegular():
		seen.Err, seen.Next = "disk "+path+" is not a regular file", "name an ext4 image file"
	default:
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || (int(st.Uid) != os.Geteuid() && os.Geteuid() != 0) {
			seen.Err, seen.Next = "disk "+path+" belongs to another user", "use a disk of your own"
			break
		}
		seen.Size = info.Size()
		seen.ID = folder.DiskID(info)
	}
	return seen
}

func outputs(ctx context.Context, d driver.Set, m *schema.Manifest, files *folder.Folder) (map[string]observed.Output, error) {
	found := map[string]observed.Output{}
	for name, o := range m.Outputs {
		target, err := files.Target(o.To)
		var digest string
		if err == nil {
			digest, err = d.Outputs.Digest(ctx, target)
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			found[name] = observed.Output{Path: files.Resolve(o.To), Exists: true, Digest: digest}
		case errors.Is(err, driver.ErrNotFound):
			found[name] = observed.Output{Path: files.Resolve(o.To)}
		default:
			why, next, refused := sentence(err)
			found[name] = observed.Output{Err: why, Next: next, Refused: refused}
		}
	}
	return found, nil
}
