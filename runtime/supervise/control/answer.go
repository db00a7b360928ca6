package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// requestLimit is how long a client may take to say what it wants.
const requestLimit = 10 * time.Second

// answer reads the call of a connection and sends its result.
func (s *Server) answer(conn net.Conn) {
	c := newChannel(conn)
	_ = conn.SetReadDeadline(time.Now().Add(requestLimit))
	kind, payload, err := c.receive()
	if err != nil || kind != frameRequest {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	var h header
	if err := json.Unmarshal(payload, &h); err != nil {
		_ = c.sendJSON(frameResult, outcome{unreadable})
		return
	}
	if h.Version != Version && !h.Call.frozen() {
		_ = c.sendJSON(frameResult, helloResult{Version: Version, outcome: outcome{FailureOf(&driver.Error{
			Class: driver.ErrUnsupported, Op: string(h.Call), Object: s.workspace,
			Err: fmt.Errorf("it runs under microagent %s, which speaks version %d", s.tool, Version), Next: restart(s.workspace),
		})}})
		return
	}
	if h.IfRun != "" {
		if run := s.service.Status().ID; h.IfRun != run {
			_ = c.sendJSON(frameResult, outcome{FailureOf(driver.NotInRun(s.workspace, h.IfRun, run))})
			return
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_ = c.sendJSON(frameResult, s.serve(&serving{ctx, cancel, c, payload}, h.Call))
}

var unreadable = &Failure{Class: driver.ClassName(driver.ErrInvalid), Message: "unreadable request"}

// serving is a call under way.
type serving struct {
	ctx     context.Context // ends when the client goes away
	cancel  context.CancelFunc
	c       *channel
	payload []byte // of the request
}

// watchHangUp cancels a call whose client has nothing more to say and goes away.
func (v *serving) watchHangUp() {
	for {
		if _, _, err := v.c.receive(); err != nil {
			v.cancel()
			return
		}
	}
}

func (v *serving) stdout() io.Writer { return frameWriter{v.c, frameOut} }
func (v *serving) stderr() io.Writer { return frameWriter{v.c, frameErr} }

// serve carries out a call.
func (s *Server) serve(v *serving, call Call) result {
	switch call { // those that the client goes on talking in
	case CallExec:
		return ask(v, func(r execRequest) result { return s.exec(v, r.Exec) })
	case CallPut:
		return ask(v, func(r putRequest) result {
			return outcome{FailureOf(s.service.Put(v.ctx, r.Path, &inputReader{c: v.c}))}
		})
	}
	go v.watchHangUp()
	switch call {
	case CallHello, CallStatus:
		return helloResult{Version: Version, Minor: Minor, Tool: s.tool, Run: new(runWireOf(s.service.Status()))}
	case CallWait:
		return answerEnd(s.service.Wait(v.ctx))
	case CallHalt:
		return ask(v, func(r haltRequest) result { return answerEnd(s.service.Halt(v.ctx, r.Grace)) })
	case CallKill:
		return answerEnd(s.service.Kill(v.ctx))
	case CallLogs:
		return ask(v, func(r logsRequest) result {
			return outcome{FailureOf(s.service.Logs(v.ctx, r.Stream, r.Follow, v.stdout(), v.stderr()))}
		})
	case CallPing:
		return outcome{FailureOf(s.service.Ping(v.ctx))}
	case CallSignal:
		return ask(v, func(r signalRequest) result {
			return outcome{FailureOf(s.steer(v.ctx, call, r.ID, Steering{Signal: r.Signal}))}
		})
	case CallResize:
		return ask(v, func(r resizeRequest) result {
			return outcome{FailureOf(s.steer(v.ctx, call, r.ID, Steering{Size: driver.WindowSize{Rows: r.Rows, Columns: r.Columns}}))}
		})
	case CallFetch:
		return ask(v, func(r fetchRequest) result {
			return outcome{FailureOf(s.service.Fetch(v.ctx, r.Path, r.Limit, v.stdout()))}
		})
	case CallStat:
		return ask(v, func(r statRequest) result {
			i, err := s.service.Stat(v.ctx, r.Path, r.Follows)
			return statResult{outcome{FailureOf(err)}, i.Size, uint32(i.Mode), i.ModTime, i.UID, i.GID, i.Target}
		})
	case CallSync:
		return outcome{FailureOf(s.service.Sync(v.ctx))}
	case CallGrow:
		return ask(v, func(r growRequest) result {
			size, err := s.service.Grow(v.ctx, r.Volume, r.Size)
			return growResult{outcome{FailureOf(err)}, size}
		})
	}
	switch call {
	case CallReady:
		run, err := s.service.Ready(v.ctx)
		return helloResult{Version: Version, Minor: Minor, Tool: s.tool, Run: new(runWireOf(run)), outcome: outcome{FailureOf(err)}}
	case CallPublish:
		return ask(v, func(r portsRequest) result { return outcome{FailureOf(s.service.Publish(v.ctx, r.Ports))} })
	case CallPermit:
		return ask(v, func(r networkRequest) result { return outcome{FailureOf(s.service.Permit(v.ctx, r.Network))} })
	case CallFreeze:
		return ask(v, func(r volumeRequest) result {
			return outcome{FailureOf(s.service.Freeze(v.ctx, r.Volume, func() error { return v.c.sendJSON(frameOut, r.Volume) }))}
		})
	case CallTrim:
		return ask(v, func(r volumeRequest) result { return outcome{FailureOf(s.service.Trim(v.ctx, r.Volume))} })
	case CallSetEnv:
		return ask(v, func(r envRequest) result { return outcome{FailureOf(s.service.SetEnv(v.ctx, r.Env))} })
	case CallMount:
		return ask(v, func(r mountRequest) result { return outcome{FailureOf(s.service.Mount(v.ctx, r.Mounts))} })
	case CallResizeVM:
		return ask(v, func(r vmRequest) result { return outcome{FailureOf(s.service.ResizeVM(v.ctx, r.CPUs, r.Memory))} })
	case CallStats:
		use, err := s.service.Stats(v.ctx)
		return statsResult{outcome{FailureOf(err)}, use}
	case CallForward:
		return ask(v, func(r portsRequest) result {
			return outcome{FailureOf(s.service.Forward(v.ctx, r.Ports, r.Settled, func(bound []spec.Port) error {
				return v.c.sendJSON(frameOut, bound)
			}))}
		})
	}
	return s.serveJobs(v, call)
}

// serveJobs is serve for the calls about jobs.
func (s *Server) serveJobs(v *serving, call Call) result {
	switch call {
	case CallStartJob:
		return ask(v, func(r jobRequest) result {
			if len(r.Spec.Argv) == 0 {
				return s.invalid("no command")
			}
			return answerJob(s.service.StartJob(v.ctx, driver.JobSpec{Exec: r.Spec.spec(), Outputs: jobOutputs(r.Outputs)}))
		})
	case CallWaitJob:
		return ask(v, func(r ofJobRequest) result { return answerJob(s.service.WaitJob(v.ctx, r.ID)) })
	case CallStopJob:
		return ask(v, func(r ofJobRequest) result { return answerJob(s.service.StopJob(v.ctx, r.ID, r.Grace, r.Force)) })
	}
	return outcome{FailureOf(&driver.Error{
		Class: driver.ErrUnsupported, Op: opUnknown, Object: s.workspace, Err: fmt.Errorf("unknown call %q", call),
	})}
}

// opUnknown is the operation of the error of a call that a supervisor does not know, for ever.
const opUnknown = "control workspace"

func answerJob(j driver.Job, err error) result {
	if err != nil {
		return jobResult{outcome: outcome{FailureOf(err)}}
	}
	return jobResult{Job: new(jobShapeOf(j))}
}

// ask reads what a call has besides its header.
func ask[R any](v *serving, serve func(R) result) result {
	var r R
	if err := json.Unmarshal(v.payload, &r); err != nil {
		return outcome{unreadable}
	}
	return serve(r)
}

func answerEnd(e Ended, err error) result {
	if err != nil {
		return outcome{FailureOf(err)}
	}
	return endedResult{Run: new(runWireOf(e.Run)), Forced: e.Forced}
}
