// Package advice finds the commands that the program advises, by reading its sources: every text of the code that
// spells out a call of microagent. Advice of ours has one form, so that it can be copied from the screen and run: the
// command alone, or a reason, a colon and the command, which goes to the end. Advice that names a command in words of its
// own is told apart by Prose.
package advice

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Hole stands in a text for what is only known when the program runs.
const Hole = "\x00"

// Text is a text of the sources that spells out a command.
type Text struct {
	Pos  string // file:line, below the root
	Text string // with holes
}

// unread are folders whose texts no user of the program sees.
var unread = []string{"testscripts", "runtime/drivertest", ".git", "bin", "examples"}

// help are fields of a command's help. What they show is tested with the commands.
var help = []string{"Use", "Short", "Long", "Example"}

// naming are functions whose first argument is the name of the command that was called.
var naming = []string{"usagef", "badFlag", "bytes", "NewFlagSet"}

// Find reads the sources below root. commands are the words that follow microagent on a command line.
func Find(root string, commands []string) ([]Text, error) {
	// A command whose word is only known when the program runs is one where advice has its command.
	call := regexp.MustCompile(`\bmicroagent (` + strings.Join(commands, "|") + `)\b|(^|: )microagent ` + Hole)
	var found []Text
	err := read(root, func(name string, set *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				key, ok := n.Key.(*ast.Ident)
				return !ok || !slices.Contains(help, key.Name)
			case *ast.GenDecl:
				return n.Tok != token.IMPORT && (n.Tok != token.CONST || isText(n))
			case *ast.BinaryExpr:
				if n.Op == token.EQL {
					return false
				}
			case *ast.CallExpr:
				if len(n.Args) > 0 && slices.Contains(naming, called(n)) {
					for _, a := range n.Args[1:] {
						ast.Inspect(a, collect(set, name, call, &found))
					}
					return false
				}
			}
			return collect(set, name, call, &found)(n)
		})
	})
	return found, err
}

// read parses the program's sources below root, one after the other.
func read(root string, look func(name string, set *token.FileSet, file *ast.File)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if slices.Contains(unread, filepath.ToSlash(name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err == nil {
			look(name, set, file)
		}
		return err
	})
}

// isText says that a constant is more than the name of a command that was called, which is "command" by convention.
func isText(d *ast.GenDecl) bool {
	return !slices.ContainsFunc(d.Specs, func(s ast.Spec) bool {
		v, ok := s.(*ast.ValueSpec)
		return !ok || v.Names[0].Name == "command"
	})
}

func collect(set *token.FileSet, file string, call *regexp.Regexp, found *[]Text) func(ast.Node) bool {
	return func(n ast.Node) bool {
		var text string
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op != token.ADD {
				return true
			}
			text = written(n)
		case *ast.BasicLit:
			text = written(n)
		default:
			return true
		}
		if call.MatchString(text) {
			*found = append(*found, Text{Pos: file + ":" + strconv.Itoa(set.Position(n.Pos()).Line), Text: text})
			return false
		}
		return true
	}
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// written is an expression as text.
func written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return written(e.X) + written(e.Y)
	case *ast.ParenExpr:
		return written(e.X)
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return verb.ReplaceAllLiteralString(s, Hole)
		}
	}
	return Hole
}

var start = regexp.MustCompile(`(?:^|: )(microagent .*)$`)

// Command is the command that a text ends in, or is. It is not ok when the text goes on behind it, or leads to it
// without a colon.
func (t Text) Command() (command string, ok bool) {
	m := start.FindStringSubmatch(strings.TrimSuffix(t.Text, "\n"))
	if m == nil {
		return "", false
	}
	command = m[1]
	if strings.HasSuffix(command, " ") { // what follows is added elsewhere
		command += Hole
	}
	return command, !strings.ContainsAny(command, ",;()\n") && !strings.Contains(command, ": ")
}

// Pattern matches the command with its holes and every NAME filled with what is no flag.
func Pattern(command string) *regexp.Regexp {
	parts := strings.Split(strings.ReplaceAll(command, "NAME", Hole), Hole)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, `(?:[^-].*)?`) + "$")
}

// Run is the commands that the scripts of a folder run as advice: what follows "next", unquoted, with a letter in the
// place of a *.
func Run(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var run []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range next.FindAllStringSubmatch(string(data), -1) {
			command := strings.ReplaceAll(strings.ReplaceAll(m[1], "'", ""), "*", "x")
			run = append(run, reached.ReplaceAllString(command, "microagent "))
		}
	}
	return run, nil
}

// reached are the global flags that advice keeps from the command that gave it.
var reached = regexp.MustCompile(`^microagent (?:(?:-C|-f|--project|--state-dir|--vmm) \S+ )+`)

var next = regexp.MustCompile(`(?m)^(?:! )?next (.+)$`)
