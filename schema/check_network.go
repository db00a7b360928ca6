package schema

import (
	"fmt"
	"slices"
	"strconv"

	"microagent/schema/diag"
	"microagent/schema/netrule"
)

// mostRules is how many rules a workspace may have: all are looked at for each connection.
const mostRules = 1024

// checkNetwork checks what the workspace own may reach.
func (c *checker) checkNetwork(own string, at address, e *entry) {
	if e == nil {
		return
	}
	seen := map[string]place{}
	count := 0
	for _, key := range []string{"allow", "deny"} {
		list := e.value.entry(key)
		if list == nil {
			continue
		}
		for i, item := range list.value.items {
			at := at.with(key).with(strconv.Itoa(i))
			if item.bad || item.kind != mapping {
				continue
			}
			if count++; count > mostRules {
				c.error(item.at, "too_many", fmt.Sprintf("%s.network has more than %d rules", address{"workspaces", own}, mostRules), "use a suffix or a range for several")
				return
			}
			if name := item.entry("name"); name != nil {
				if first, twice := seen[name.value.text]; twice {
					c.error(name.value.at, "duplicate_name", at.with("name").String()+" is "+quote(name.value.text)+", as that of the rule in line "+strconv.Itoa(first.line),
						"give each rule a name of its own: records of denials say it")
				} else {
					seen[name.value.text] = name.at
				}
			}
			c.checkRule(at, item, key == "deny")
		}
	}
	c.checkPeers(own, at.with("peers"), e.value.entry("peers"))
}

func (c *checker) checkRule(at address, n *node, denies bool) {
	var first *entry
	some := slices.ContainsFunc(n.entries, func(e entry) bool { return e.bad }) // one of which may be meant as it
	for _, key := range destinations {
		some = some || n.get(key) != nil
		d := n.entry(key)
		if d == nil {
			continue
		}
		if first == nil {
			first = d
			continue
		}
		later := d
		if later.at.before(first.at) {
			later = first
		}
		c.error(later.at, "conflict", at.String()+" has both "+first.key+" and "+d.key, "write a rule for each")
	}
	if !some {
		c.error(n.at, "missing_field", at.String()+" names no destination", "add host: NAME, suffix: NAME, cidr: RANGE or group: public")
	}
	_, errs := readRule(n, denies)
	for _, e := range errs {
		c.reportRule(at, n, e)
	}
	c.checkRuleKeys(at, n, first, denies)
}

// reportRule reports what the patterns let through and is none, at the value that it is about.
func (c *checker) reportRule(at address, n *node, e *netrule.Error) {
	v := n.get(e.Key)
	if v == nil {
		return
	}
	at = at.with(e.Key)
	for i, item := range v.items {
		if item.text == e.Text {
			v, at = item, at.with(strconv.Itoa(i))
			break
		}
	}
	c.error(v.at, "bad_value", at.String()+": "+quote(e.Text)+" "+e.Why, "write "+e.Write)
}

// checkRuleKeys checks ports and tls, which depend on what the rule names.
func (c *checker) checkRuleKeys(at address, n *node, names *entry, denies bool) {
	for _, key := range []string{"ports", "udp"} {
		if list := n.entry(key); list != nil && len(list.value.items) == 0 {
			c.error(list.value.at, "bad_value", at.with(key).String()+" is empty", "leave it out, or name a port")
		}
	}
	tls := n.entry("tls")
	switch {
	case tls == nil:
	case denies:
		c.error(tls.at, "conflict", at.String()+" denies, and tls says how what is allowed is checked", "leave tls out")
	case names != nil && (names.key == "cidr" || names.key == "group"):
		c.error(tls.at, "conflict", at.String()+" names addresses, and a handshake has the name of a host", "leave tls out, or name a host or suffix")
	}
}

func (c *checker) checkPeers(own string, at address, e *entry) {
	if e == nil {
		return
	}
	var seen []string
	for i, item := range e.value.items {
		at := at.with(strconv.Itoa(i))
		switch {
		case item.bad:
			continue
		case item.text == own:
			c.error(item.at, "conflict", at.String()+" is the workspace itself", "leave it out: a guest reaches itself as localhost")
			continue
		case slices.Contains(seen, item.text):
			c.add(diag.Warning, item.at, "no_effect", at.String()+" is "+quote(item.text)+" once more", "", "leave it out")
			continue
		}
		seen = append(seen, item.text)
		c.checkReference(&entry{key: "peers", value: item, at: item.at}, "workspaces", at)
		if w, ok := c.m.Workspaces[item.text]; ok && len(w.Ports) == 0 {
			c.add(diag.Warning, item.at, "no_effect", at.String()+" refers to "+quote(item.text)+", which declares no ports", "",
				"declare what it serves: workspaces: {"+item.text+": {ports: {NAME: {guest: 5432}}}}")
		}
	}
}
