package schema

import (
	"strconv"
	"strings"

	"microagent/schema/diag"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// checkSize checks that the workspace n may have no less while it runs than it begins with.
func (c *checker) checkSize(at address, n *node) {
	if most := n.entry("maxCpus"); most != nil && !most.value.bad {
		begins := textOr(n, "cpus", "1")
		have, errHave := strconv.Atoi(begins)
		limit, errLimit := strconv.Atoi(most.value.text)
		if errHave == nil && errLimit == nil && limit < have {
			c.error(most.at, "conflict", at.with("maxCpus").String()+" is less than cpus, which is "+begins, "write "+begins+" or more, or leave maxCpus out")
		}
	}
	most := n.entry("maxMemory")
	if most == nil || most.value.bad {
		return
	}
	begins := textOr(n, "memory", "256MiB")
	have, errHave := quantity.ParseMemory(begins)
	limit, errLimit := quantity.ParseMemory(most.value.text)
	switch {
	case errHave != nil || errLimit != nil:
	case limit < have:
		c.error(most.at, "conflict", at.with("maxMemory").String()+" is less than memory, which is "+begins, "write "+begins+" or more, or leave maxMemory out")
	case limit > have && limit-have < spec.MemoryStep:
		c.add(diag.Warning, most.at, "no_effect", at.with("maxMemory").String()+" leaves no room for memory, which comes in steps of 128MiB", "", "write "+strings.ReplaceAll((have+spec.MemoryStep).String(), " ", "")+" or more")
	}
}

// textOr is the text of a key of n, or another where it is absent.
func textOr(n *node, key, absent string) string {
	if e := n.entry(key); e != nil && !e.value.bad {
		return e.value.text
	}
	return absent
}
