// Package control is what a supervisor and everybody who wants something of it agree on: the control socket with its
// client and its server, run.json, the records of jobs, and how to end what a supervisor that is dead left behind.
//
// Promised: the calls hello, status, logs, halt and kill keep their form for ever, so that any version looks at and stops
// what any other started; a call ends by a result or by the end of the connection, never by silence; ending a call's
// context hangs up on it, and the server hears of that. Never: an answer to another user's process; a supervisor ended
// that still answers.
package control

// Version is the major version of the control protocol: calls that are not frozen need the same one on both sides.
const Version = 1

// Minor counts what came later within Version; hello tells it, and a supervisor that does not has 0.
//
//	1  an exec may ask to be steered: signals and window sizes come as frames of its own connection, and input comes as
//	   far as it was granted
//	2  publish and forward
//	3  permit
//	4  ready
//	5  stats
//	6  jobs; a call may name the only run that it is for
//	7  set_env
//	8  freeze, trim
//	9  mount
//	10 resize_vm
const Minor = 10

const minorSteered = 1

// Call names what is asked of a supervisor.
type Call string

// The calls. The first five are frozen.
const (
	CallHello  Call = "hello"
	CallStatus Call = "status"
	CallLogs   Call = "logs"
	CallHalt   Call = "halt"
	CallKill   Call = "kill"

	CallWait   Call = "wait"
	CallPing   Call = "ping" // the guest
	CallExec   Call = "exec"
	CallSignal Call = "signal" // to an exec
	CallResize Call = "resize" // of an exec's terminal
	CallFetch  Call = "fetch"
	CallPut    Call = "put"
	CallStat   Call = "stat"
	CallSync   Call = "sync"
	CallGrow   Call = "grow"

	CallPublish Call = "publish" // ports, in the place of those that were
	CallPermit  Call = "permit"  // what the guest may reach, in the place of what it might
	CallForward Call = "forward" // ports, until the client goes away

	CallFreeze Call = "freeze" // a volume, until the client goes away or the time is over
	CallTrim   Call = "trim"   // a volume

	CallSetEnv Call = "set_env" // of what begins in the guest from now on

	CallMount Call = "mount" // disks, in the place of those that were

	CallResizeVM Call = "resize_vm" // its CPUs and memory

	CallReady Call = "ready" // answers when the run is

	CallStats Call = "stats" // what the guest says that it uses

	CallStartJob Call = "start_job"
	CallWaitJob  Call = "wait_job"
	CallStopJob  Call = "stop_job"
)

func (c Call) frozen() bool {
	switch c {
	case CallHello, CallStatus, CallLogs, CallHalt, CallKill:
		return true
	}
	return false
}
