package logs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/machine/rotate"
	"microagent/runtime/supervise/outlog"
)

// piece is the most of a raw log that is given at once, in bytes.
const piece = 32 << 10

// source is the log of one workspace, read piece by piece.
type source struct {
	name    string
	folder  layout.Workspace
	run     *driver.Run // nil: it never ran
	options driver.LogOptions
	head    *driver.Written // read, and not given yet

	files   *rotate.Follower
	stretch *io.SectionReader // nil: none is being read
	decoder outlog.Decoder
	records []byte            // of denials in the stretch, that are left
	changed bool              // since the time that is asked for, as far as the file says
	since   map[string]*since // by stream
	skip    map[string]int64  // bytes that are left out, by stream
}

func newSource(ws driver.Workspace, o driver.LogOptions) (*source, error) {
	s := &source{name: ws.Spec.Name, folder: layout.Workspace{Dir: ws.Folder}, run: ws.Run, options: o, since: map[string]*since{}}
	var err error
	if s.files, err = rotate.NewFollower(s.path()); err != nil {
		return nil, err
	}
	if o.Tail != nil {
		if err := s.leaveTail(*o.Tail); err != nil {
			s.files.Close()
			return nil, err
		}
	}
	return s, nil
}

// raw says that the log is one of bytes without times, such as the console.
func (s *source) raw() bool { return ownFiles[s.options.Stream] != "" && !s.network() }

func (s *source) network() bool { return s.options.Stream == streamNetwork }

// file is the name of the log that is read.
func (s *source) file() string {
	return cmp.Or(ownFiles[s.options.Stream], layout.OutputLog)
}

func (s *source) path() string { return s.folder.File(s.file()) }

// leaveTail leaves out all but the last lines of what is there now.
func (s *source) leaveTail(lines int) error {
	look := &source{name: s.name, folder: s.folder, options: s.options, files: s.files.Look(), since: map[string]*since{}}
	t := newTail(lines)
	counts := map[string]io.Writer{}
	for _, name := range append(slices.Collect(maps.Keys(ownFiles)), streamStdout, streamStderr) {
		counts[name] = t.stream(name)
	}
	for {
		if err := look.read(); err != nil {
			return err
		}
		if look.head == nil {
			break
		}
		_, _ = counts[look.head.Stream].Write(look.head.Data)
		look.head = nil
	}
	s.skip = t.skip()
	return nil
}

// key is the time by which a source's head comes before another's.
func (s *source) key() time.Time {
	if s.head.Time.IsZero() && s.run != nil {
		return s.run.Started
	}
	return s.head.Time
}

// read fills the head, unless there is nothing more now.
func (s *source) read() error {
	for s.head == nil {
		w, err := s.next()
		if err != nil || w == nil {
			return err
		}
		if s.options.Stream != "" && w.Stream != s.options.Stream {
			continue
		}
		if w.Data = s.sinceThen(w); len(w.Data) == 0 {
			continue
		}
		cut := min(s.skip[w.Stream], int64(len(w.Data)))
		if cut > 0 {
			s.skip[w.Stream] -= cut
		}
		if w.Data = w.Data[cut:]; len(w.Data) > 0 {
			s.head = w
		}
	}
	return nil
}

// next is what comes next in the log, nil when nothing does now.
func (s *source) next() (*driver.Written, error) {
	for {
		if s.stretch == nil {
			stretch, begins, err := s.files.Next()
			if err != nil || stretch == nil {
				return nil, err
			}
			s.stretch = stretch
			info, err := os.Stat(s.path())
			s.changed = err == nil && !info.ModTime().Before(s.options.Since)
			switch {
			case s.raw():
			case s.network():
				if s.records, err = io.ReadAll(stretch); err != nil {
					return nil, err
				}
			default:
				s.decoder.Reset(stretch, begins)
			}
		}
		w := &driver.Written{Workspace: s.name}
		var err error
		switch {
		case s.raw():
			w.Stream = s.options.Stream
			w.Data, err = s.chunk()
		case s.network():
			err = s.denial(w)
		default:
			err = s.record(w)
		}
		if err == nil {
			return w, nil
		}
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		s.stretch = nil
	}
}

func (s *source) chunk() ([]byte, error) {
	data := make([]byte, piece)
	n, err := s.stretch.Read(data)
	s.files.Used(int64(n))
	if n > 0 {
		err = nil
	}
	return data[:n], err
}

func (s *source) record(w *driver.Written) error {
	before := s.decoder.Used()
	r, err := s.decoder.Next()
	s.files.Used(s.decoder.Used() - before)
	w.Stream, w.Time, w.Data = streamStdout, r.Time, r.Data
	if r.Stream == outlog.Stderr {
		w.Stream = streamStderr
	}
	return err
}

// denial gives the next record of a denial. A line that is none is left out.
func (s *source) denial(w *driver.Written) error {
	for {
		line, left, whole := bytes.Cut(s.records, []byte("\n"))
		if !whole {
			return io.EOF
		}
		s.records = left
		s.files.Used(int64(len(line) + 1))
		var d driver.Denial
		if json.Unmarshal(line, &d) == nil && d.Rule != "" {
			w.Stream, w.Time, w.Data = streamNetwork, d.Time, append(line, '\n')
			return nil
		}
	}
}

// since is whether a stream has come to a line that began at or after a time.
type since struct{ there, inLine bool }

// sinceThen is what of a piece is of lines that began late enough.
func (s *source) sinceThen(w *driver.Written) []byte {
	if s.options.Since.IsZero() {
		return w.Data
	}
	if w.Time.IsZero() {
		if s.changed {
			return w.Data
		}
		return nil
	}
	of := s.since[w.Stream]
	if of == nil {
		of = &since{}
		s.since[w.Stream] = of
	}
	if of.there {
		return w.Data
	}
	data := w.Data
	if late := !w.Time.Before(s.options.Since); late {
		begin := 0
		if of.inLine {
			begin = bytes.IndexByte(data, '\n') + 1
		}
		if begin > 0 || !of.inLine {
			of.there = true
			return data[begin:]
		}
	}
	of.inLine = data[len(data)-1] != '\n'
	return nil
}
