package diag

import (
	"cmp"
	"errors"
	"slices"
	"strconv"

	"github.com/hashicorp/go-multierror"
)

// List collects diagnostics. The zero value is an empty list. It is not safe for concurrent use.
type List struct {
	errs *multierror.Error // of *Diagnostic
}

// Add puts one more in.
func (l *List) Add(d Diagnostic) { l.errs = multierror.Append(l.errs, &d) }

// All gives the diagnostics sorted by place, errors before warnings at the same place, equal ones once.
func (l *List) All() []Diagnostic {
	var all []Diagnostic
	for _, err := range l.errs.WrappedErrors() {
		var d *Diagnostic
		if errors.As(err, &d) {
			all = append(all, *d)
		}
	}
	slices.SortStableFunc(all, order)
	return slices.CompactFunc(all, func(a, b Diagnostic) bool { return order(a, b) == 0 })
}

func order(a, b Diagnostic) int {
	return cmp.Or(
		cmp.Compare(a.Pos.File, b.Pos.File),
		cmp.Compare(a.Pos.Line, b.Pos.Line),
		cmp.Compare(a.Pos.Col, b.Pos.Col),
		cmp.Compare(a.Severity, b.Severity), // "error" comes before "warning"
		cmp.Compare(a.Code, b.Code),
		cmp.Compare(a.Summary, b.Summary),
		cmp.Compare(a.Next, b.Next),
		cmp.Compare(a.Detail, b.Detail),
	)
}

// Errors says whether there is an error in the list.
func (l *List) Errors() bool {
	for _, err := range l.errs.WrappedErrors() {
		var d *Diagnostic
		if errors.As(err, &d) && d.Severity == Error {
			return true
		}
	}
	return false
}

// Count gives the number of errors and of warnings in All.
func (l *List) Count() (errs, warnings int) {
	for _, d := range l.All() {
		if d.Severity == Error {
			errs++
		} else {
			warnings++
		}
	}
	return errs, warnings
}

// Err gives the errors of the list as one error whose parts errors.As finds, sorted and without warnings; nil when
// there are none.
func (l *List) Err() error {
	var m *multierror.Error
	for _, d := range l.All() {
		if d.Severity == Error {
			m = multierror.Append(m, &d)
		}
	}
	if m != nil {
		m.ErrorFormat = oneLine
	}
	return m.ErrorOrNil()
}

func oneLine(errs []error) string {
	s := errs[0].Error()
	if len(errs) > 1 {
		s += " (and " + strconv.Itoa(len(errs)-1) + " more)"
	}
	return s
}
