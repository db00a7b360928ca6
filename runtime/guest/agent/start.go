package agent

import (
	"errors"
	"io"
	"os"
	"time"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// streamSet is the host's streams of one process; nil where it has none.
type streamSet struct{ stdin, stdout, stderr, tty *proto.Stream }

// all lists what is there; the place for a message about the process comes last.
func (s *streamSet) all() []*proto.Stream {
	var list []*proto.Stream
	for _, st := range []*proto.Stream{s.stdin, s.stdout, s.stderr, s.tty} {
		if st != nil {
			list = append(list, st)
		}
	}
	return list
}

// claimStreams takes the streams that the request names.
func (a *Agent) claimStreams(req *wire.StartRequest) (*streamSet, error) {
	s := &streamSet{}
	want := []struct {
		kind string
		to   **proto.Stream
		on   bool
	}{
		{proto.KindTTY, &s.tty, req.GetTerminal()},
		{proto.KindStdin, &s.stdin, req.GetStdin() && !req.GetTerminal()},
		{proto.KindStdout, &s.stdout, req.GetStdout() && !req.GetTerminal()},
		{proto.KindStderr, &s.stderr, req.GetStderr() && !req.GetTerminal()},
	}
	var missing error
	for _, w := range want {
		if !w.on {
			continue
		}
		if *w.to = a.streams.take(streamKey{req.GetId(), w.kind}); *w.to == nil {
			missing = proto.Errorf(proto.CodeInvalid, "process %s has no open %s stream", req.GetId(), w.kind)
		}
	}
	if missing != nil {
		for _, st := range s.all() {
			_ = st.Close()
		}
		return nil, missing
	}
	return s, nil
}

// begin starts a process with its streams, which it takes over.
func (a *Agent) begin(req *wire.StartRequest, p *wire.Process, s *streamSet) *process {
	proc, err := a.tryBegin(req, p, s)
	if err == nil {
		return proc
	}
	why, ok := errors.AsType[*notRun](err)
	if !ok {
		why = &notRun{126, err.Error()}
	}
	say := s.stderr
	if s.tty != nil {
		say = s.tty
	}
	proc = stillborn(req.GetId(), why, say)
	for _, st := range s.all() {
		go func() {
			if st == s.stdin {
				st.DrainInput()
			} else {
				finish(st, nil)
			}
			_ = st.Close()
		}()
	}
	return proc
}

func (a *Agent) tryBegin(req *wire.StartRequest, p *wire.Process, s *streamSet) (*process, error) {
	c, err := resolve(p, accounts{passwdFile, groupFile}, req.GetTerminal(), a.configured.GetProcess().GetWorkdir())
	if err != nil {
		return nil, err
	}
	var files *stdio
	var terminal *os.File
	if req.GetTerminal() {
		files, terminal, err = terminalIO(req.GetSize(), s.tty, c.id)
	} else {
		files, err = pipeIO(s, c.id)
	}
	if err != nil {
		return nil, err
	}
	return launch(req.GetId(), c, files, a.children, terminal, time.Duration(req.GetTimeoutNanos()))
}

func terminalIO(size *wire.WindowSize, st *proto.Stream, id identity) (*stdio, *os.File, error) {
	ours, theirs, err := openTerminal(size, int(id.uid))
	if err != nil {
		return nil, nil, err
	}
	return &stdio{
		files: []*os.File{theirs, theirs, theirs},
		ours:  []io.Closer{ours},
		loops: []func(<-chan struct{}){func(ended <-chan struct{}) { pumpTerminal(st, ours, ended) }},
	}, ours, nil
}

// pipeIO joins streams and process by pipes, and by /dev/null where there is no stream.
func pipeIO(s *streamSet, id identity) (*stdio, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	files := &stdio{files: []*os.File{null, null, null}}
	spare := true
	if s.stdin != nil {
		r, w, err := os.Pipe()
		if err == nil {
			// Else the process could not open /dev/stdin.
			err = r.Chown(int(id.uid), int(id.gid))
		}
		if err != nil {
			files.abandon(null)
			return nil, err
		}
		files.files[0] = r
		files.ours = append(files.ours, w)
		files.loops = append(files.loops, func(ended <-chan struct{}) {
			done := make(chan struct{})
			go func() {
				select {
				case <-ended:
					_ = w.SetWriteDeadline(time.Unix(1, 0)) // nobody reads it any more
					_ = s.stdin.Close()
				case <-done:
				}
			}()
			feed(w, s.stdin)
			close(done)
			_ = s.stdin.Close()
		})
	}
	for i, st := range []*proto.Stream{s.stdout, s.stderr} {
		if st == nil {
			continue
		}
		r, w, err := os.Pipe()
		if err == nil {
			// Else the process could not open /dev/stdout.
			err = w.Chown(int(id.uid), int(id.gid))
		}
		if err != nil {
			files.abandon(null)
			return nil, err
		}
		files.files[1+i] = w
		files.ours = append(files.ours, r)
		files.loops = append(files.loops, func(ended <-chan struct{}) { pump(st, r, ended) })
	}
	for _, f := range files.files {
		spare = spare && f != null
	}
	if spare {
		null.Close()
	}
	return files, nil
}

// abandon closes everything.
func (s *stdio) abandon(null *os.File) {
	s.closeTheirs()
	null.Close()
	for _, o := range s.ours {
		o.Close()
	}
}
