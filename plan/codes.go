package plan

// The codes of a plan's diagnostics.
const (
	CodeProjectMoved  = "project_moved"
	CodeForeign       = "foreign_object"  // the name is taken by an object of another owner
	CodeUnrecorded    = "unrecorded"      // an image without a record
	CodeRecordForm    = "record_form"     // a record that this version can't compare with
	CodeVolumeMissing = "volume_missing"  // external and not there
	CodeNoSnapshot    = "no_snapshot"     // that a new volume is to begin with
	CodeVolumeShrinks = "volume_shrinks"  //
	CodeReserved      = "reserved_name"   // a new object has a name that stands for something else
	CodeVolumeDrifted = "volume_drifted"  // its image is not the one that its record is of
	CodeVolumeGrown   = "volume_grown"    // outside of any command
	CodeBothThere     = "both_there"      // what moved names is there under the old name and the new one
	CodeRenamed       = "renamed"         // something is declared no more and something like it is new
	CodeEmpty         = "empty_manifest"  // it declares nothing, and the project has objects
	CodeHeld          = "held"            // a volume or disk is held by a workspace that goes on
	CodeTwoWriters    = "two_writers"     // one volume or disk for a writer and another user
	CodeCycle         = "waits_in_circle" //
	CodeImage         = "image"           // an image can't be had
	CodeSource        = "source"          // a bundle's source can't be read
	CodeDisk          = "disk"            // a user's disk can't be used
	CodeOutput        = "output"          // an output's target can't be used
	CodePath          = "path_refused"    // a place that a manifest may not name: outside, in a git folder, another's
	CodeOutputTaken   = "output_taken"    // an output's target holds what no apply put there
	CodeHost          = "host"            // something is missing on this host
	CodeIsolation     = "isolation"       // hardware isolation is demanded and not to be had
	CodeMemory        = "memory_short"    //
	CodeCPUs          = "cpus_short"      //
	CodePortTaken     = "port_taken"      // a port of the host that another has
	CodeNotGranted    = "not_granted"     // a manifest asks for what is the user's to grant
	CodeNotAsked      = "not_asked"       // a grant that nothing asks for
	CodeSpace         = "space_short"     //
	CodeCapacity      = "capacity_short"  // when all that is made is full
	CodeTargets       = "targets"         // a plan of --target, which leaves something out
	CodeUnknownName   = "unknown_name"    // --rerun names nothing, or nothing with a task
	CodeNotObserved   = "not_observed"    // the world says nothing about something declared
)

// Refused says that a diagnostic with this code is a refusal for safety: the input is right, and the user has to say
// more, or act on something else, before it is done.
func Refused(code string) bool {
	switch code {
	case CodeBothThere, CodeProjectMoved, CodeForeign, CodeUnrecorded, CodeRecordForm, CodeVolumeShrinks, CodeVolumeDrifted, CodeEmpty, CodeHeld, CodeTwoWriters,
		CodeIsolation, CodePath, CodeOutputTaken, CodeNotGranted:
		return true
	}
	return false
}

// safety is the code of something that can't be used.
func safety(code string, refused bool) string {
	if refused {
		return CodePath
	}
	return code
}
