package cli

import (
	"os"
	"strings"

	"golang.org/x/term"

	"microagent/plan"
	"microagent/plan/render"
	"microagent/schema"
)

// showPlan writes a plan to stdout in the form that was asked for.
func (a *app) showPlan(p *plan.Plan, graph bool) error {
	switch {
	case graph:
		return render.Graph(a.stdout, p)
	case a.flags.json:
		return render.JSON(a.stdout, p)
	}
	o := render.Options{Color: a.colour(a.stdout), ASCII: !a.utf8(), Verbose: a.flags.verbose}
	if f, ok := a.stdout.(*os.File); ok && isTerminal(f) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			o.Width = width
		}
	}
	return render.Text(a.stdout, p, o)
}

// utf8 says whether the user's locale is one of UTF-8.
func (a *app) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := a.getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

func (a *app) jsonSchema() error {
	data, err := schema.JSONSchema()
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(data)
	return err
}
