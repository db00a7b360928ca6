package testscripts

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestStorageTable: the README's table of the five ways for data and `microagent help storage` say the same.
func TestStorageTable(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command("microagent", "help", "storage").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(readme), "| You want | Use |\n|---|---|\n")
	if !found {
		t.Fatal("the README has no such table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) != 5 {
		t.Errorf("the table has %d rows", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(strings.ToLower(row), "|")
		want, use := strings.TrimSpace(cells[1]), strings.TrimSpace(strings.Split(cells[2], "(")[0])
		use = strings.Trim(use, "`")
		if !hasLine(strings.ToLower(string(help)), want, use) {
			t.Errorf("help storage has no line with %q and %q", want, use)
		}
	}
}

func hasLine(text, one, two string) bool {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), one); ok && strings.HasPrefix(strings.TrimSpace(rest), two) {
			return true
		}
	}
	return false
}
