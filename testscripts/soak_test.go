package testscripts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"microagent/cmd/microagent/cli/view"
	"microagent/testscripts/lane"
)

// soak is a state directory in which commands are killed at random moments. What a command said that it had done, and what
// was there before one that was killed, has to be there for ever.
type soak struct {
	t      *testing.T
	random *rand.Rand
	dir    string
	state  string
	files  map[string]string // that a command said it had brought into volume keep: content, by name
	size   int               // of volume grows, in MiB
	hand   map[string]bool   // volumes made by hand
	killed int
}

func newSoak(t *testing.T) *soak {
	lane.Guest(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	s := &soak{t: t, random: rand.New(rand.NewPCG(seed, seed)), dir: dir, state: filepath.Join(dir, "state"), files: map[string]string{},
		size: 16, hand: map[string]bool{}}
	if out, err := exec.Command("mkimage", filepath.Join(dir, "image.tar")).CombinedOutput(); err != nil {
		t.Fatalf("mkimage: %v\n%s", err, out)
	}
	t.Cleanup(func() { killBelow(s.state) })
	return s
}

// command is microagent in the soak's folder.
func (s *soak) command(args ...string) *exec.Cmd {
	cmd := exec.Command("microagent", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+s.state, "NO_COLOR=1")
	return cmd
}

// must runs a command to its end, which has to be one of codes (0 when there are none), and gives its output.
func (s *soak) must(args []string, codes ...int) string {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 && !slices.Contains(codes, code) {
		s.t.Fatalf("microagent %s: code %d\n%s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// kill runs a command and kills it at a moment within about the time that it takes; whole says that it had ended well by then.
func (s *soak) kill(within time.Duration, args ...string) (whole bool) {
	s.t.Helper()
	cmd := s.command(args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(time.Duration(s.random.Int64N(int64(within))), func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	late.Stop()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == -1 {
		s.killed++
		return false
	}
	if err != nil {
		s.t.Fatalf("microagent %s: %v", strings.Join(args, " "), err)
	}
	return true
}

// declare writes the manifest; what is in its bundle differs from round to round.
func (s *soak) declare(round int) {
	s.t.Helper()
	extra := ""
	if round%3 == 1 {
		extra = "  comes: {size: 16MiB}\n"
	}
	text := fmt.Sprintf(`project: soak
volumes:
  keep: {size: 32MiB}
  grows: {size: %dMiB}
%sbundles: {config: {source: ./config}}
workspaces:
  w:
    image: oci-archive:./image.tar
    memory: 128MiB
    disk: %dMiB
    desired: stopped
    mounts: {/keep: {volume: keep}, /grows: {volume: grows}, /config: {bundle: config}}
`, s.size, extra, 64+s.size)
	for name, data := range map[string]string{"microagent.yaml": text, "config/round": fmt.Sprint(round)} {
		path := filepath.Join(s.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// step is one command that is killed, and done again. again are the codes that its second run may have besides 0.
func (s *soak) step(round int) {
	const long, short = 400 * time.Millisecond, 100 * time.Millisecond
	switch what := s.random.IntN(6); what {
	case 0, 1:
		s.size += 4 * s.random.IntN(2)
		s.declare(round)
		s.kill(long, "apply", "--yes")
	case 2:
		name := fmt.Sprintf("file%d", round)
		content := strings.Repeat(name+"\n", 1+s.random.IntN(2000))
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o644); err != nil {
			s.t.Fatal(err)
		}
		if s.kill(short, "cp", name, "soak.w:/keep/"+name) {
			s.files[name] = content
			return
		}
		s.must([]string{"cp", name, "soak.w:/keep/" + name})
		s.files[name] = content
	case 3:
		name := fmt.Sprintf("hand%d", round)
		s.kill(short, "volume", "create", name, "--size", "16MiB")
		s.must([]string{"volume", "create", name, "--size", "16MiB"}, 1) // 1: it is there
		s.hand[name] = true
	case 4:
		for name := range s.hand {
			s.kill(short, "volume", "delete", name)
			s.must([]string{"volume", "delete", name}, 1) // 1: there is none
			delete(s.hand, name)
			break
		}
	case 5:
		s.kill(long, "destroy", "--yes")
	}
}

// check sees that nothing is lost, left behind or held.
func (s *soak) check(round int) {
	s.t.Helper()
	s.must([]string{"apply", "--yes"})
	s.must([]string{"plan", "--detailed-exitcode"})
	var volumes []view.Volume
	if err := json.Unmarshal([]byte(s.must([]string{"volume", "list", "--json"})), &volumes); err != nil {
		s.t.Fatal(err)
	}
	there := map[string]bool{}
	for _, v := range volumes {
		there[v.Name] = true
		if v.Attached || v.ImageMissing || v.Changed != "" || v.RecordDigest == "" {
			s.t.Fatalf("round %d: volume %+v", round, v)
		}
	}
	for _, name := range append(slices.Collect(maps.Keys(s.hand)), "soak.keep", "soak.grows") {
		if !there[name] {
			s.t.Fatalf("round %d: volume %s is lost", round, name)
		}
	}
	if left := below(s.state); len(left) > 0 {
		s.t.Fatalf("round %d: left running: %v", round, left)
	}
	for name := range s.files {
		s.compare(round, name)
		break // any
	}
}

// compare reads a file back out of the volume.
func (s *soak) compare(round int, name string) {
	s.t.Helper()
	out := filepath.Join(s.dir, "out")
	defer os.Remove(out)
	s.must([]string{"cp", "soak.w:/keep/" + name, out})
	if data, err := os.ReadFile(out); err != nil || string(data) != s.files[name] {
		s.t.Fatalf("round %d: %s has %d bytes of %d, %v", round, name, len(data), len(s.files[name]), err)
	}
}

// TestSoak kills commands at random moments, without a guest: a few rounds, 800 with TESTS=all.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	s.declare(0)
	s.must([]string{"apply", "--yes"})
	rounds := lane.Count(8, 800)
	for round := range rounds {
		s.step(round)
		s.check(round)
		if round%100 == 99 {
			t.Logf("%d rounds, %d commands killed, %d files", round+1, s.killed, len(s.files))
		}
	}
	for name := range s.files {
		s.compare(rounds, name)
	}
	images, err := filepath.Glob(filepath.Join(s.state, "volumes", "*.ext4"))
	if err != nil || len(images) < 2 {
		t.Fatalf("%v, %v", images, err)
	}
	for _, image := range images {
		if out, err := exec.Command("e2fsck", "-fn", image).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", image, err, out)
		}
	}
	t.Logf("%d rounds, %d commands killed, %d files and %d volumes whole", rounds, s.killed, len(s.files), len(images))
}
