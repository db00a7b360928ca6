// Package ch talks to a VMM that serves Cloud Hypervisor's REST API, v53 or later, on a unix socket: the real
// cloud-hypervisor or runtime/qemu's adapter. It does not know which of the two answers.
//
// Promised: a change is sent at most once; one whose answer got lost is settled by asking vm.info, and is an
// *UnknownOutcomeError where that does not settle it. A refusal is an *Error that carries the server's whole
// chain, and the Is functions read it by its text, since its status moves between versions. One connection is
// used, bodies are never chunked, and a connection on which the server answered something odd is dropped.
//
// Never: a retry of vm.boot, a judgement of liveness (a VMM that works on one call answers no other: watch its
// process), a process started or killed.
//
// Imported by runtime/machine, runtime/supervise, runtime/qemu and ch/chtest.
//
// # What the program does beside its documents
//
// Found by running ch/chtest against cloud-hypervisor v53.0; the adapter does the same.
//
//   - A missing initramfs fails vm.boot before the VM is built: vm.info shows Created without a device tree, and a
//     second vm.boot is not refused. A missing kernel fails it afterwards: the device tree and the locks on the
//     disks stay, and a second vm.boot answers "VM is already created".
//   - A vm.boot that is refused because there is a VM already emits no vm/booting; one without a configuration, or
//     with a bad one, does.
//   - vm.delete of a VM that was never booted emits vm/deleted alone.
//   - vm.resize with an empty body on a VM that does not run emits nothing.
//   - The address in use is told as "Address already in use (os error 98)".
//   - vm.info shows the random number device without an id, also after boot; disks and vsock get theirs at boot.
//   - A client of the serial socket gets what was written before it came, once: a second client gets only what the
//     first was not sent. The adapter gives each client all that its ring holds.
//
// # What the adapter does otherwise
//
//   - A failed vm.boot loses no device: the configuration stays whole. The rule to delete after it holds all the
//     same.
//   - console defaults to Off instead of the terminal, and knows no other mode than Off and Null.
//   - A disk that was there at boot can't be removed from a running guest, and there are four slots for others.
//   - An image of unknown type is taken as Raw, with its first sector writable.
//   - vm.create answers a File or Socket mode without a path by an error; the program ends itself.
//   - Memory starts at 128 MiB. The boot disks' and other devices' bus addresses are the adapter's own.
//   - A guest can't open a connection to the host.
//   - No event tells of a virtio device being activated.
//   - A latency in vm.counters is the mean of all operations.
//   - vmm.ping's features name "qemu" and the accelerator. What they do not name, as resize, is refused
//     with a chain that IsUnsupported knows.
package ch
