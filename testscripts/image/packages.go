package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Packages is a root file system of Debian packages that the host has installed, with all that they depend on, and a dpkg
// that knows of them: the programs are the host's own. Caches of Python's modules come along, which take a slow guest long
// to make. Documentation and translations are left out.
func Packages(names []string) ([]File, error) {
	db, err := readPackages()
	if err != nil {
		return nil, err
	}
	all, err := db.closure(names)
	if err != nil {
		return nil, err
	}
	files := []File{
		{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")},
		{Path: "etc/group", Mode: 0o644, Data: []byte("root:x:0:\nstaff:x:50:\nnogroup:x:65534:\n")},
		{Path: "root", Type: tar.TypeDir, Mode: 0o700},
		{Path: "tmp", Type: tar.TypeDir, Mode: 0o1777},
		{Path: "proc", Type: tar.TypeDir, Mode: 0o555},
		{Path: "sys", Type: tar.TypeDir, Mode: 0o555},
		{Path: "var/lib/dpkg/updates", Type: tar.TypeDir, Mode: 0o755},
		{Path: "var/lib/dpkg/triggers", Type: tar.TypeDir, Mode: 0o755},
	}
	status, err := exec.Command("dpkg-query", append([]string{"-s"}, all...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("read the states of packages: %w", err)
	}
	files = append(files, File{Path: "var/lib/dpkg/status", Mode: 0o644, Data: status})
	lists, err := exec.Command("dpkg-query", append([]string{"-L"}, all...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("list the files of packages: %w", err)
	}
	for i, list := range strings.Split(strings.TrimSuffix(string(lists), "\n"), "\n\n") {
		files = append(files, File{Path: "var/lib/dpkg/info/" + all[i] + ".list", Mode: 0o644, Data: []byte(list + "\n")})
		for file := range strings.SplitSeq(list, "\n") {
			if files, err = appendHost(files, file); err != nil {
				return nil, err
			}
		}
		for _, file := range made[strings.TrimSuffix(all[i], ":all")] {
			if files, err = appendHost(files, file); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// made are files that no list has, since the package makes them when it is installed.
var made = map[string][]string{"ca-certificates": {"/etc/ssl/certs/ca-certificates.crt"}}

// leftOut are folders that no program needs.
var leftOut = []string{"/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/info/", "/usr/share/lintian/", "/usr/lib/x86_64-linux-gnu/gconv/"}

// appendHost adds a file of the host, at the path that it has when /bin is /usr/bin. What is not there is left out, as is
// what only root can read; such lines of a list as tell of diversions are no paths.
func appendHost(files []File, file string) ([]File, error) {
	for _, dir := range leftOut {
		if strings.HasPrefix(file, dir) {
			return files, nil
		}
	}
	if !strings.HasPrefix(file, "/") || file == "/." {
		return files, nil
	}
	dir, err := filepath.EvalSymlinks(path.Dir(file))
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	if err != nil {
		return nil, err
	}
	paths := []string{filepath.Join(dir, path.Base(file))}
	if module, ok := strings.CutSuffix(path.Base(file), ".py"); ok {
		caches, _ := filepath.Glob(filepath.Join(dir, "__pycache__", module+".cpython-*.pyc"))
		paths = append(paths, caches...)
	}
	for _, at := range paths {
		f, err := readHost(at)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func readHost(at string) (File, error) {
	info, err := os.Lstat(at)
	if err != nil {
		return File{}, err
	}
	f := File{Path: strings.TrimPrefix(at, "/"), Mode: int64(info.Mode().Perm()), Time: info.ModTime()}
	switch {
	case info.IsDir():
		f.Type = tar.TypeDir
	case info.Mode()&fs.ModeSymlink != 0:
		f.Type = tar.TypeSymlink
		f.Link, err = os.Readlink(at)
	default:
		f.Data, err = os.ReadFile(at)
	}
	return f, err
}

// installed are the packages of the host by name: their name in full, and what each needs.
type installed struct {
	full     map[string]string
	needs    map[string][]string // each "one | another"
	provided map[string]string   // by another package
}

func readPackages() (installed, error) {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${binary:Package}\t${Pre-Depends}, ${Depends}\t${Provides}\n").Output()
	if err != nil {
		return installed{}, fmt.Errorf("list the host's packages: %w", err)
	}
	db := installed{map[string]string{}, map[string][]string{}, map[string]string{}}
	for line := range strings.Lines(string(out)) {
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(field) != 5 || field[0] != "installed" {
			continue
		}
		db.full[field[1]], db.needs[field[1]] = field[2], strings.Split(field[3], ",")
		for name := range strings.SplitSeq(field[4], ",") {
			db.provided[bare(name)] = field[1]
		}
	}
	return db, nil
}

// bare is a dependency without its version and architecture.
func bare(text string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// closure is names and all that they need, by their full names.
func (db installed) closure(names []string) (all []string, err error) {
	seen := map[string]bool{"": true}
	for len(names) > 0 {
		name := db.find(names[0])
		if name == "" {
			return nil, fmt.Errorf("the Debian package %s is not installed: examples/install %s", strings.TrimSpace(names[0]), bare(names[0]))
		}
		names = names[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		all = append(all, db.full[name])
		for _, need := range db.needs[name] {
			if strings.TrimSpace(need) != "" {
				names = append(names, need)
			}
		}
	}
	return all, nil
}

// find is the package that a dependency is met by, "" for none.
func (db installed) find(need string) string {
	for one := range strings.SplitSeq(need, "|") {
		name := bare(one)
		if db.full[name] != "" {
			return name
		}
		if by := db.provided[name]; by != "" {
			return by
		}
	}
	return ""
}
