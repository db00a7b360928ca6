// Package supervise is the life of one running workspace: its VMM, its guest, its process, and the end of all three.
// Run does that in the foreground, for one self-contained Spec, and knows nothing of detaching; Spawn starts a
// detached process that calls it, and control.Client talks to one.
//
// Promised: the leases are taken before anything starts, all or none; run.json tells the truth at every moment at which the
// process may be killed; the outputs of a task are on the host's disk before run.json says finished, and that before
// the guest is shut down and its VMM ends; a request to stop is honoured at any time, also while the guest boots, and whatever the guest
// does it is gone the grace and five seconds later, at once when that was asked for. What a guest sends is bounded on
// disk and in memory. Never: a secret on a command line or in a log, a second writer of a disk, an answer
// to another user's process.
//
// # Phases
//
// One goroutine moves a run, down the calls Run, supervise, liveOn, live, boot, serve, and writes run.json at each arrow
// before it goes on. What others want it hears by closed channels.
//
//	            session.Configure,
//	            process started           process ended, stop carried out,
//	starting ───────────────────> ready   guest powered itself off
//	 │    │  ▲                    or      ────────────────────────────────> finished ──┐
//	 │    │  │                    running                                      ▲       │
//	 │    │  │                     ▲ │ │  VMM or agent gone, panic,            │       │
//	 │    │  │                     └─┘ │  rebooted too often, ready no more    │       │ restart
//	 │    │  │                rebooted └──────────────────────> failed ────────│───────┤
//	 │    └──│── VMM, agent or setup failed, no agent in time ───▲             │       │
//	 └───────│── stop before the guest was ready (stopped is set) ─────────────┘       │
//	         └─────────────────────────────────────────────────────────────────────────┘
//	           another run, in the place of the one that ended: first in back-off, with Restarts.Next
//
// A guest without a process of its own (idle) is ready, one with a task or service is running; whether its probe passes
// is Readiness, a state machine of its own (readiness.Judge). Nobody writes "lost": control.ReadRun shows it where a run
// has no end and its supervisor is dead.
//
// An end goes through conclude, which alone decides on a restart, under mu and in one step with the end itself: not once
// a stop was asked for, and only of a run that was ready since a command started the workspace. An end that has a
// successor is never in run.json; what it cost is in loss.json and in the project's history. Leases, ports and the
// control socket are kept from the first run to the last.
//
// A stop comes from clients, from SIGTERM and from the end of the owner (requestStop). It closes stop, which serve, boot,
// the start of the VMM and the back-off listen to, and starts a clock; when that is over, or at once by force, cutLocked
// ends the context guest, on which everything waits that is done for the guest, and kills the VMM.
//
// # Who may touch what
//
//	supervisor.mu      run, moved, last, stand, probes, pause, untold, vm, life, stopReq, overdue, forced; held for a moment, never while
//	                   anything is waited for
//	supervisor.saving  run.json: held from the look at run until that is on disk, so that no older run overwrites a newer
//	                   one; mu is taken within it
//	supervisor.telling held while what is untold is written and told of; saving and mu are taken within it
//	nothing            spec, state, folder, self, log, disks, output, room: set before the control socket listens
//	stop               closed by the first requestStop, under mu; stopReq counts from then on
//	guest              ended by cutLocked, under mu
//	denialsTold        of the goroutine that hears the gateway, of which there is one at a time
//	watch.done         closed by the goroutine that reads the VMM's events; watch.powerOff counts from then on
//	jobs.creating      held while room is made on disk for a job; jobs.mu and job.mu are held for a moment
//	life.over          closed by boot when it leaves a guest; life.why counts from then on
//	ended              closed by supervise when run.json has the end of the last run and the VMM is gone; the leases go after that
package supervise
