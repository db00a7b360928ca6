package process

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"
)

// TestUse measures this process and a shell with a child of its own, which has memory and time.
func TestUse(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 1000 & i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo up; read x; kill $!")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	tree, err := Look()
	if err != nil {
		t.Fatal(err)
	}
	self, below := tree.Use(os.Getpid())
	if self.Processes != 1 || self.RSS < 1<<20 || self.Private <= 0 || self.Private > self.RSS {
		t.Errorf("this process: %+v", self)
	}
	if below.Processes < 2 || below.RSS <= 0 || below.CPU <= 0 {
		t.Errorf("what it started: %+v", below)
	}
	shell, sleep := tree.Use(cmd.Process.Pid)
	if shell.Processes != 1 || shell.CPU <= 0 || sleep.Processes != 1 {
		t.Errorf("the shell: %+v and %+v", shell, sleep)
	}
	if none, _ := tree.Use(1 << 30); none.Processes != 0 {
		t.Errorf("nobody: %+v", none)
	}
	_, _ = io.WriteString(in, "\n")
}
