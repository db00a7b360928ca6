package project

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/layout"
)

func open(t *testing.T) (*Store, layout.State) {
	state := layout.State{Dir: t.TempDir(), Command: "microagent apply"}
	return New(state, "1.0"), state
}

func TestConformance(t *testing.T) {
	drivertest.Projects(t, func(t *testing.T) driver.Projects {
		s, _ := open(t)
		return s
	})
}

// TestMain lets the test binary be the process that holds a lock.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HOLD_PROJECT_LOCK"); dir != "" {
		s := New(layout.State{Dir: dir, Command: "microagent apply"}, "1.0")
		if _, err := s.Lock(context.Background(), "counter", 0); err != nil {
			panic(err)
		}
		os.Stdout.WriteString("locked\n")
		bufio.NewReader(os.Stdin).ReadByte()
		return
	}
	os.Exit(m.Run())
}

func TestLockNamesItsHolder(t *testing.T) {
	s, state := open(t)
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), "HOLD_PROJECT_LOCK="+state.Dir)
	stdin, _ := holder.StdinPipe()
	stdout, _ := holder.StdoutPipe()
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "locked\n" {
		t.Fatalf("holder said %q, %v", line, err)
	}
	_, err := s.Lock(t.Context(), "counter", 0)
	if err == nil {
		t.Fatal("two processes hold the lock")
	}
	for _, want := range []string{"lock project counter: held by pid " + strconv.Itoa(holder.Process.Pid), "microagent apply", "since 2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
	stdin.Close()
	unlock, err := s.Lock(t.Context(), "counter", 0)
	if err != nil {
		t.Fatalf("the lock outlives its holder: %v", err)
	}
	unlock()
}

func TestPutOfTheSameWritesNothing(t *testing.T) {
	s, state := open(t)
	p := driver.Project{Name: "counter", Manifest: "/src/microagent.yaml"}
	b := driver.BundleRecord{Name: "counter.config", Project: "counter", Key: "k", Exclude: []string{}}
	write := func(s *Store) {
		t.Helper()
		if err := s.Put(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := s.PutBundle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	write(s)
	files := []string{state.ProjectRecord("counter"), state.BundleRecord("counter.config")}
	var before []os.FileInfo
	for _, f := range files {
		fi, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, fi)
	}
	write(New(state, "2.0"))
	for i, f := range files {
		if fi, err := os.Stat(f); err != nil || !os.SameFile(fi, before[i]) || fi.ModTime() != before[i].ModTime() {
			t.Errorf("%s was written again", f)
		}
	}
	var meta layout.Meta
	if err := layout.ReadJSON(files[0], &meta); err != nil || meta.Tool != "1.0" || meta.ID == "" || meta.Kind != "project" {
		t.Errorf("record: %+v, %v", meta, err)
	}
	id := meta.ID
	p.Manifest = "/elsewhere/microagent.yaml"
	write(New(state, "2.0"))
	if err := layout.ReadJSON(files[0], &meta); err != nil || meta.ID != id || meta.Tool != "2.0" {
		t.Errorf("changed record: %+v, %v", meta, err)
	}
}

func TestBadRecords(t *testing.T) {
	s, state := open(t)
	for _, tc := range []struct {
		name, text string
		class      error
	}{
		{"torn", `{"format": 1, "ki`, driver.ErrCorrupt},
		{"empty", ``, driver.ErrCorrupt},
		{"kind", `{"format":1,"kind":"volume","name":"counter"}`, driver.ErrCorrupt},
		{"name", `{"format":1,"kind":"project","name":"other"}`, driver.ErrCorrupt},
		{"newer", `{"format":99,"kind":"project","name":"counter","tool":"9.0"}`, driver.ErrUnsupported},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := state.ProjectRecord("counter")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := s.Get(t.Context(), "counter")
			checkBad(t, err, tc.class, path)
			_, err = s.List(t.Context())
			checkBad(t, err, tc.class, path)
		})
	}
	t.Run("newer is never overwritten", func(t *testing.T) {
		err := s.Put(t.Context(), driver.Project{Name: "counter", Manifest: "/m"})
		checkBad(t, err, driver.ErrUnsupported, "written by microagent 9.0")
	})
}

func checkBad(t *testing.T, err, class error, text string) {
	t.Helper()
	if !errors.Is(err, class) || !strings.Contains(err.Error(), text) || driver.Next(err) == "" {
		t.Errorf("got %v (next: %q), want %q with %q", err, driver.Next(err), class, text)
	}
}
