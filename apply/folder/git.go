package folder

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"

	"microagent/runtime/gitfolder"

	"golang.org/x/sys/unix"
)

// looksGit says that git would take the folder at fd for a repository.
func looksGit(fd int) bool {
	return gitfolder.IsRepository(func(name string) bool { return there(fd, name) })
}

func there(fd int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// gitParts are what is in a git folder and may have another name outside it, by a mount or a hard link: what git runs
// or takes settings and credentials from, and the git folders of submodules and worktrees.
var gitParts = []string{"hooks", "config", "config.worktree", "info", "modules", "worktrees", "objects", "refs"}

func addID(found map[id]bool, dir int, name string, flags int) {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, flags) == nil {
		found[id{st.Dev, st.Ino}] = true
	}
}

// addFolder adds the git folder at fd with its parts.
func addFolder(found map[id]bool, fd int) {
	addID(found, fd, "", unix.AT_EMPTY_PATH)
	for _, name := range gitParts {
		addID(found, fd, name, unix.AT_SYMLINK_NOFOLLOW)
	}
}

// gitFolders are the git folders of the repositories that the open folders lie in, by what they are and not by name: a
// .git folder, a worktree's or submodule's .git file, the folder it points to, and the one that this shares with others.
func gitFolders(places ...*place) map[id]bool {
	found := map[id]bool{}
	for _, p := range places {
		for i := range p.steps {
			addGit(found, p.steps[i].fd)
		}
	}
	return found
}

func addGit(found map[id]bool, dir int) {
	s, err := openStep(dir, ".git")
	if err != nil {
		return
	}
	found[s.id] = true
	defer s.close()
	switch s.mode {
	case unix.S_IFDIR:
		addFolder(found, s.fd)
	case unix.S_IFREG:
		if to, ok := strings.CutPrefix(firstLine(dir, ".git"), "gitdir: "); ok {
			addPointed(found, dir, to)
		}
	case unix.S_IFLNK:
		addPointed(found, dir, ".git")
	}
}

// addPointed adds the git folder to, seen from dir.
func addPointed(found map[id]bool, dir int, to string) {
	fd, err := retry(func() (int, error) { return unix.Openat(dir, to, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return
	}
	defer unix.Close(fd)
	addFolder(found, fd)
	common := firstLine(fd, "commondir") // shared with other worktrees
	if common == "" {
		return
	}
	shared, err := retry(func() (int, error) { return unix.Openat(fd, common, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return
	}
	defer unix.Close(shared)
	addFolder(found, shared)
}

// firstLine is the first line of a small regular file, "" when there is none.
func firstLine(dir int, name string) string {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	data, _ := io.ReadAll(io.LimitReader(f, unix.PathMax))
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return string(line)
}

// inProc is the path under which the kernel opens what is open at fd.
func inProc(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
