package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// wantSpan and wantWhole complete "write ..." for the value of a flag.
const (
	wantSpan  = "a number with a unit, such as 10s or 1h30m"
	wantWhole = "a whole number"
)

// span is the value of a flag that is a time, never negative.
type span time.Duration

func (s *span) Type() string { return "duration" }

// String is what Set reads; help shows no default that is "0".
func (s *span) String() string {
	if *s == 0 {
		return "0"
	}
	return time.Duration(*s).String()
}

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New("write " + wantSpan)
	}
	*s = span(d)
	return nil
}

// spanVar is a flag for a time, absent 0.
func spanVar(f *pflag.FlagSet, to *time.Duration, name, usage string) {
	f.Var((*span)(to), name, usage)
}

// id is the value of a flag that names a job or a run. An empty one, as of a variable that was never set, is not taken for
// an absent one: what the flag narrows would be done to all.
type id string

func (i *id) Type() string   { return "string" }
func (i *id) String() string { return string(*i) }

func (i *id) Set(text string) error {
	if text == "" {
		return errors.New("write an id; it is empty")
	}
	*i = id(text)
	return nil
}

// idVar is a flag for an id, absent "".
func idVar(f *pflag.FlagSet, to *string, name, usage string) { f.Var((*id)(to), name, usage) }

// whole is the value of a flag that is a number between two, both included.
type whole struct {
	to          *int
	least, most int
}

func (w whole) Type() string   { return "int" }
func (w whole) String() string { return strconv.Itoa(*w.to) }

func (w whole) Set(text string) error {
	n, err := strconv.Atoi(text)
	switch {
	case err == nil && n >= w.least && n <= w.most:
		*w.to = n
		return nil
	case w.most == math.MaxInt:
		return fmt.Errorf("write %s of %d or more", wantWhole, w.least)
	}
	return fmt.Errorf("write %s from %d to %d", wantWhole, w.least, w.most)
}

// wholeVar is a flag for a number of least or more; absent is what it is without the flag.
func wholeVar(f *pflag.FlagSet, to *int, name string, least, absent int, usage string) {
	*to = absent
	f.Var(whole{to, least, math.MaxInt}, name, usage)
}

// flagWords says of a flag's value that is none what to write, in the place of pflag's words for programmers.
func flagWords(err error) error {
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		_, usage := pflag.UnquoteUsage(missing.GetFlag())
		return fmt.Errorf("%s has no value: %s", dashed(missing.GetFlag()), usage)
	}
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	flag, why := dashed(bad.GetFlag()), errors.Unwrap(bad).Error()
	switch bad.GetFlag().Value.Type() {
	case "bool":
		why = "write " + flag + " alone, or leave it out"
	case "duration":
		why = "write " + wantSpan
	case "int", "int64", "uint":
		if _, ours := bad.GetFlag().Value.(whole); !ours {
			why = "write " + wantWhole
		}
	}
	return fmt.Errorf("%s is %q; %s", flag, bad.GetValue(), why)
}

func dashed(f *pflag.Flag) string { return "--" + f.Name }
