package cli

import (
	"io"
	"strings"

	"microagent/cmd/microagent/cli/term"
	"microagent/plan"
	"microagent/plan/render"
	"microagent/schema"
)

// showPlan writes a plan to stdout in the form that was asked for.
func (a *app) showPlan(p *plan.Plan, graph bool) error {
	switch {
	case graph:
		return render.Graph(a.Out, p, render.Dot)
	case a.JSON:
		return render.JSON(a.Out, p)
	}
	return a.planText(a.Out, p)
}

// ask shows a plan to whoever is asked whether to do it. What programs read on stdout is of what was done.
func (a *app) ask(p *plan.Plan) error {
	if a.JSON {
		return a.planText(a.Err, p)
	}
	return a.planText(a.Out, p)
}

func (a *app) planText(w io.Writer, p *plan.Plan) error {
	o := render.Options{Color: a.Colour(w), ASCII: !a.utf8(), Verbose: a.Verbose}
	o.Width = term.Width(w)
	var text strings.Builder
	if err := render.Text(&text, p, o); err != nil {
		return err
	}
	_, err := io.WriteString(w, a.reaching(text.String()))
	return err
}

// utf8 says whether the user's locale is one of UTF-8.
func (a *app) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := a.Getenv(name); v != "" {
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
	_, err = a.Out.Write(data)
	return err
}
