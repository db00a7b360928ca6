package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/schema/printable"
)

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "events", Short: "show what happens in the project",
		Long: "The records of the project's applies and destroys, each a line; with --json as they were written. -f goes on\n" +
			"with what happens from now on, whichever command does it. The newest 8 MiB are kept.",
		Example:     "  microagent events\n  microagent events -f --json",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitInvalid, ExitInterrupted),
		RunE: does(func(ctx context.Context, _ []string) error {
			project, h, err := a.historyInView()
			if err != nil {
				return err
			}
			err = h.Read(ctx, project, follow, func(line []byte) error {
				if a.JSON {
					_, err := fmt.Fprintf(a.Out, "%s\n", printable.JSON(string(line)))
					return err
				}
				var e event.Event
				if json.Unmarshal(line, &e) != nil {
					return nil // half a record, of a writer that was killed
				}
				_, err := fmt.Fprintln(a.Out, printable.Row(eventText(e)))
				return err
			})
			if err == nil && ctx.Err() != nil {
				return errInterrupted
			}
			return err
		}),
	}
	a.flags.shadow(cmd, "file")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens from now on")
	return cmd
}

// eventText is a record for people.
func eventText(e event.Event) string {
	at := e.Time.Local().Format(time.DateTime) + " "
	step := e.Action + " " + e.Address
	switch e.Type {
	case event.TypeVersion:
		return at + e.Command + " of project " + e.Project + " began"
	case event.TypePlan:
		return at + "the plan has " + counting(len(e.Changes), "change")
	case event.TypeDrift:
		return at + "drifted: " + e.Address + ": " + e.Message
	case event.TypeWarning:
		return at + "warning: " + e.Message
	case event.TypeStart:
		return at + step + ": started"
	case event.TypeOutput:
		return at + e.Address + " | " + e.Text()
	case event.TypeDone:
		return at + step + ": done in " + term.Seconds(e.Elapsed)
	case event.TypeFailed:
		return at + step + ": failed after " + term.Seconds(e.Elapsed) + ": " + e.Error
	case event.TypeCut:
		return at + step + ": interrupted after " + term.Seconds(e.Elapsed)
	case event.TypeUnneeded:
		return at + step + ": not needed"
	case event.TypeSkipped:
		return at + step + ": not started"
	case event.TypeCollected:
		if c := e.Collected; c != nil {
			return at + e.Address + ": " + counting(c.Files, "file") + " of " + term.Size(c.Bytes) + " from " + c.From + " to " + c.To + ", " + c.Digest
		}
	case event.TypeReady:
		return at + e.Address + ": ready: " + e.Message
	case event.TypeNotReady:
		return at + e.Address + ": " + e.Error
	case event.TypeEnded:
		return at + e.Address + ": ended by itself: " + e.Error
	case event.TypeHostFull, event.TypeDiskFault:
		return at + e.Address + ": " + e.Message
	case event.TypeRestart:
		text := at + e.Address + ": starts again: " + e.Error
		if e.Message != "" {
			text += "; " + e.Message
		}
		return text
	case event.TypeResult:
		return at + "it ended with code " + fmt.Sprint(value(e.ExitCode))
	}
	return at + e.Address + ": " + e.Message
}

// past is one command that the history has.
type past struct {
	Run         string    `json:"run"`
	Command     string    `json:"command"`
	Began       time.Time `json:"began"`
	Seconds     float64   `json:"seconds"`
	ExitCode    *int      `json:"exit_code"` // null while it goes on, or when it was killed
	Done        int       `json:"done"`
	Failed      int       `json:"failed"`
	Interrupted bool      `json:"interrupted,omitempty"`
	Changes     []string  `json:"changes"` // that were begun: "create volume/data"
}

func (a *app) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history", Short: "list the project's applies and destroys",
		Long:        "What was done to the project, the newest last. What happened in each: microagent events.",
		Example:     "  microagent history\n  microagent history --json",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitInvalid),
		RunE: does(func(ctx context.Context, _ []string) error {
			project, h, err := a.historyInView()
			if err != nil {
				return err
			}
			list := []*past{}
			if err := h.Read(ctx, project, false, func(line []byte) error {
				var e event.Event
				if json.Unmarshal(line, &e) == nil {
					list = addRecord(list, e)
				}
				return nil
			}); err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(list)
			}
			var rows [][]string
			for _, p := range list {
				rows = append(rows, p.row())
			}
			return a.Table([]string{"BEGAN", "COMMAND", "TOOK", "EXIT", "DONE", "FAILED"}, rows)
		}),
	}
}

// addRecord takes a record into what is known of its command.
func addRecord(list []*past, e event.Event) []*past {
	if e.Type == event.TypeVersion {
		return append(list, &past{Run: e.Run, Command: e.Command, Began: e.Time, Changes: []string{}})
	}
	for i := len(list) - 1; i >= 0; i-- {
		p := list[i]
		if p.Run != e.Run {
			continue
		}
		p.Seconds = e.Time.Sub(p.Began).Round(time.Millisecond).Seconds()
		switch e.Type {
		case event.TypeStart:
			p.Changes = append(p.Changes, e.Action+" "+e.Address)
		case event.TypeDone:
			p.Done++
		case event.TypeFailed:
			p.Failed++
		case event.TypeCut:
			p.Interrupted = true
		case event.TypeResult:
			p.ExitCode = e.ExitCode
		}
		break
	}
	return list
}

func (p *past) row() []string {
	exit := "" // it goes on, or was killed
	if p.ExitCode != nil {
		exit = fmt.Sprint(*p.ExitCode)
	}
	return []string{p.Began.Local().Format("2006-01-02T15:04:05"), p.Command, term.Seconds(p.Seconds), exit, fmt.Sprint(p.Done), fmt.Sprint(p.Failed)}
}

// historyInView is the history of the project in view: that of --project, or of the manifest.
func (a *app) historyInView() (string, driver.History, error) {
	w, err := a.open(false)
	if err != nil {
		return "", nil, err
	}
	if project := a.projectInView(); project != "" {
		return project, w.history, nil
	}
	m, _, err := a.load(nil)
	if err != nil {
		return "", nil, err
	}
	return m.Project, w.history, nil
}

// value is what p points to, and zero for nothing: a record may come from another version.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
