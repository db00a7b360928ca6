package schema

import (
	"strconv"
	"strings"

	"microagent/schema/pattern"
)

var plainNumber = pattern.Of(`^(0|[1-9][0-9]*)(:(0|[1-9][0-9]*))?$`)

// checkUser refuses a number that YAML reads otherwise than a guest's passwd would: 0o17 is 15 to YAML, and no user's name.
func (c *checker) checkUser(at address, e *entry) {
	if e == nil || e.value.bad || e.value.tag != "!!int" || plainNumber().MatchString(e.value.text) {
		return
	}
	next := "write a decimal number"
	if n, err := strconv.ParseInt(strings.ReplaceAll(e.value.text, "_", ""), 0, 64); err == nil {
		next = "write " + strconv.FormatInt(n, 10)
		if octal := e.value.text[0] == '0' && e.value.text != "0" && !strings.ContainsAny(e.value.text, "xobXOB_"); octal {
			next += ", or " + strings.TrimLeft(e.value.text, "0") + " if that is meant"
		}
	}
	c.error(e.value.at, "bad_value", at.String()+" is "+quote(e.value.text)+", which is no plain decimal number", next)
}
