package schema

import (
	"microagent/schema/diag"
	"microagent/schema/pattern"
)

// hostVariable is what other tools fill in from the environment of who starts them: ${NAME}, with a default or without,
// and $NAME of the names that everybody has. Another $ is likely to be meant as it is.
var hostVariable = pattern.Of(`\$\{[A-Za-z_][A-Za-z0-9_]*(:?[-+?=][^}]*)?\}|\$(HOME|PATH|PWD|USER)\b`)

// warnLiteral warns of environment variables with a value that other tools would fill in. No value is shown.
func (c *checker) warnLiteral(at address, env *node) {
	for name, e := range each(env) {
		if e.bad || e.value.bad || !hostVariable().MatchString(e.value.text) {
			continue
		}
		c.add(diag.Warning, e.value.at, "literal_variable",
			at.with(name).String()+" has a $ that looks like a variable, and is passed on as it is written", "",
			"write the value itself, or set it with a shell in the guest, such as task: [sh, -c, 'export X=$HOME/x; COMMAND']")
	}
}
