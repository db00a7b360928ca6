package planfile

import (
	"fmt"
	"maps"
	"slices"

	"microagent/plan"
)

// Stale says, in a sentence each and sorted, which of the records that p rests on are not what they were: records are
// the digests now, by kind and name on disk. It is empty when p may be applied.
func Stale(p *plan.Plan, records map[string]string) []string {
	var moved []string
	for _, key := range slices.Sorted(maps.Keys(p.Bound)) {
		was, is := p.Bound[key], records[key]
		switch {
		case was == is:
		case was == "":
			moved = append(moved, fmt.Sprintf("%s is there now", key))
		case is == "":
			moved = append(moved, fmt.Sprintf("%s is gone", key))
		default:
			moved = append(moved, fmt.Sprintf("%s changed", key))
		}
	}
	return moved
}
