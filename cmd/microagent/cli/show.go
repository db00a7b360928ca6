package cli

import (
	"io"
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
	return a.planText(a.stdout, p)
}

// ask shows a plan to whoever is asked whether to do it. What programs read on stdout is of what was done.
func (a *app) ask(p *plan.Plan) error {
	if a.flags.json {
		return a.planText(a.stderr, p)
	}
	return a.planText(a.stdout, p)
}

func (a *app) planText(w io.Writer, p *plan.Plan) error {
	o := render.Options{Color: a.colour(w), ASCII: !a.utf8(), Verbose: a.flags.verbose}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			o.Width = width
		}
	}
	return render.Text(w, p, o)
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
