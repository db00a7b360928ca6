package advice

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// planning are functions of the planner whose third argument is advice.
var planning = []string{"fail", "warn"}

// Prose finds the advice in the sources below root that names one of the commands without spelling it out: what is
// assigned to something called next, and the planner's. The command that a text ends in may be named in its reason.
func Prose(root string, commands []string) ([]Text, error) {
	named := regexp.MustCompile(`\b(` + strings.Join(commands, "|") + `)\b`)
	var found []Text
	err := read(root, func(name string, set *token.FileSet, file *ast.File) {
		take := func(e ast.Expr) {
			ast.Inspect(e, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if !ok {
					return false
				}
				text := written(e)
				if strings.Trim(text, Hole) == "" {
					return true // a call, whose arguments have the text
				}
				reason, command, _ := strings.Cut(text, "microagent ")
				for _, word := range named.FindAllString(reason, -1) {
					if !slices.Contains(strings.Fields(command), word) {
						found = append(found, Text{Pos: name + ":" + strconv.Itoa(set.Position(e.Pos()).Line), Text: text})
						break
					}
				}
				return false
			})
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if isNext(n.Key) {
					take(n.Value)
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if isNext(to) && len(n.Lhs) == len(n.Rhs) {
						take(n.Rhs[i])
					}
				}
			case *ast.CallExpr:
				if slices.Contains(planning, called(n)) && strings.HasPrefix(name, "plan") && len(n.Args) > 2 {
					take(n.Args[2])
				}
			}
			return true
		})
	})
	return found, err
}

func isNext(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.EqualFold(e.Name, "next")
	case *ast.SelectorExpr:
		return isNext(e.Sel)
	}
	return false
}
