package attach

import (
	"fmt"
	"strings"
	"time"

	"microagent/runtime/disk/ext4/super"
)

// MMPWait is how long the guest's kernel waits for mmp as it mounts the disks, one after the other, and why.
func (d Disks) MMPWait() (total time.Duration, why string) {
	var reasons []string
	for _, one := range d {
		if one.Machine.ReadOnly {
			continue
		}
		sb, err := super.Read(one.claim.File())
		if err != nil {
			continue // the guest will say what is wrong with it
		}
		if wait, err := sb.MMPWait(one.claim.File()); err == nil && wait > 0 {
			total += wait
			reasons = append(reasons, fmt.Sprintf("disk %s: %s", one.Machine.Serial, super.MMPReason(wait)))
		}
	}
	return total, d.NameIn(strings.Join(reasons, "; "))
}
