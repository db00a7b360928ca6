package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"microagent/apply"
	"microagent/apply/folder"
	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
)

// TestResetIsWholeAtEveryStep cuts it short behind each of its steps: the next one comes to the end that it would have come
// to, with what was written kept, and what was stopped stays so.
func TestResetIsWholeAtEveryStep(t *testing.T) {
	for _, ran := range []bool{true, false} {
		steps := -1
		for done := 0; steps < 0 || done <= steps; done++ {
			b := newBench(t)
			ctx := t.Context()
			if got := b.run("create", "one", "--image", "docker.io/library/alpine:3.20"); got.code != 0 {
				t.Fatal(got.stderr)
			}
			b.run("start", "one")
			if got := b.run("exec", "one", "--", "sh", "-c", "echo 1 > /mine"); got.code != 0 {
				t.Fatal(got.stderr)
			}
			if !ran {
				b.run("halt", "one")
			}
			before, err := b.workspaces.Get(ctx, "one")
			if err != nil {
				t.Fatal(err)
			}
			files, err := folder.Free(".")
			if err != nil {
				t.Fatal(err)
			}
			a := &app{Screen: &term.Screen{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Getenv: func(string) string { return "" }}, world: b.world}
			r := &reset{a: a, w: b.world, seq: apply.NewSequence([]driver.Workspace{before}, nil), files: files, ws: before}
			all := r.steps()
			steps = len(all)
			for _, step := range all[:done] {
				if err := step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			files.Close()
			again := b.run("reset", "one", "--yes")
			if again.code != 0 {
				t.Fatalf("cut behind %d: %+v", done, again)
			}
			after, err := b.workspaces.Get(ctx, "one")
			if err != nil || after.Again || after.ID == before.ID || (after.Run != nil && after.Run.Phase.Alive()) != ran {
				t.Errorf("ran %v, cut behind %d: %+v, %v", ran, done, after, err)
			}
			if stays := strings.Contains(again.stderr, "stays stopped"); stays == ran {
				t.Errorf("ran %v, cut behind %d: %s", ran, done, again.stderr)
			}
			if done == steps && ran { // a reset that was done, and then one more: what was written is what the first kept
				continue
			}
			b.run("halt", "one")
			b.run("restore", "one")
			b.run("start", "one")
			if got := b.run("exec", "one", "--", "sh", "-c", "cat /mine"); got.code != 0 {
				t.Errorf("ran %v, cut behind %d: what was written is not what is kept", ran, done)
			}
		}
	}
}

func TestReset(t *testing.T) {
	b := newBench(t)
	if got := b.run("create", "one", "--image", "docker.io/library/alpine:3.20"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"reset one", ExitRefused, "next: microagent reset one --yes"},
		{"reset one --yes --allow-data-loss=one", ExitUsage, "workspace/NAME"},
		{"reset one --yes --wait-timeout 1s", ExitUsage, "--wait"},
		{"reset none --yes", ExitFailed, "there is none of that name"},
		{"reset one --yes", ExitOK, `Reset "one", which stays stopped`},
		{"start one", ExitOK, ""},
		{"reset one one --yes", ExitOK, "to bring it back: microagent halt one && microagent restore one"},
		{"list", ExitOK, "to bring it back: microagent halt one && microagent restore one"},
		{"status one", ExitOK, "to bring it back: microagent halt one && microagent restore one"},
		{"reset one --yes --json", ExitOK, ""},
		{"reset one --yes --allow-data-loss=workspace/one", ExitOK, `Reset "one"`},
	} {
		got := b.run(strings.Fields(c.args)...)
		if got.code != c.code || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: %d, %s", c.args, got.code, got.stderr)
		}
		if strings.Contains(c.args, "--json") && !strings.Contains(got.out, `"kept_rootfs": true`) {
			t.Errorf("%s: %s", c.args, got.out)
		}
		if strings.Contains(c.args, "loss=workspace") && strings.Contains(got.stderr, "restore") {
			t.Errorf("%s: %s", c.args, got.stderr)
		}
	}
}

// endsBetween is a guest that outlasts the first stop and has ended when the second looks.
type endsBetween struct{ driver.Runs }

func (endsBetween) Stop(ctx context.Context, _ string, o driver.StopOptions) (driver.Stopped, error) {
	if o.Force {
		return driver.Stopped{}, nil
	}
	<-ctx.Done()
	return driver.Stopped{Was: true}, ctx.Err()
}

// What ends between the two stops of a reset ran, and is to run again.
func TestResetRunsAgainWhatEndsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		how, err := (&app{}).stopToDelete(t.Context(), &world{Set: driver.Set{Runs: endsBetween{}}}, "one", true)
		if err != nil || !how.Was {
			t.Errorf("%+v, %v", how, err)
		}
	})
}
