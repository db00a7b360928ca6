package cli

import (
	"errors"
	"slices"
	"strings"

	"microagent/runtime/driver"
)

// candidates are the names on disk that name can stand for, the likeliest first: with a manifest in view a bare
// name is the project's object before it is one made by hand.
func (a *app) candidates(name string) []string {
	if strings.Contains(name, ".") {
		return []string{name}
	}
	if project := a.projectInView(); project != "" {
		return []string{project + "." + name, name}
	}
	return []string{name}
}

// asked is what a list shows: all of it, or with --project what is of that project.
func asked[T any](a *app, list []T, projectOf func(T) string) []T {
	return slices.DeleteFunc(list, func(v T) bool { return a.flags.project != "" && projectOf(v) != a.flags.project })
}

// find gives the first object that get knows under one of the names that name can stand for.
func find[T any](a *app, op, name, list string, get func(string) (T, error)) (T, error) {
	var zero T
	for _, n := range a.candidates(name) {
		v, err := get(n)
		if !errors.Is(err, driver.ErrNotFound) {
			return v, err
		}
	}
	return zero, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name, Err: errors.New("there is none of that name"),
		Next: list}
}
