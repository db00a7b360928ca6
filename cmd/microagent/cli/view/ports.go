package view

import "microagent/schema/spec"

// Port is a port of a workspace, or several that follow each other.
type Port struct {
	Name     string `json:"name,omitempty"`
	Guest    int    `json:"guest"` // the first
	Count    int    `json:"count,omitempty"`
	Protocol string `json:"protocol"`          // tcp, udp
	Host     int    `json:"host,omitempty"`    // the first; of a run the number that it has
	Auto     bool   `json:"auto,omitempty"`    // any number that is free
	Address  string `json:"address,omitempty"` // that the host binds; absent: loopback of both families
	Socket   string `json:"socket,omitempty"`  // a unix socket of the host
	// Listening says that the guest has a server there: of a run, when it was asked.
	Listening bool `json:"listening,omitempty"`
}

// OfPorts shows published ports.
func OfPorts(all []spec.PortState) []Port {
	return list(all, func(s spec.PortState) Port {
		p := ofPort(s.Port)
		p.Listening = s.Listening
		return p
	})
}

func ofPort(p spec.Port) Port {
	v := Port{
		Name: p.Name, Guest: int(p.Guest), Count: p.Count, Protocol: string(p.Protocol), Host: int(p.Host), Auto: p.Auto,
		Address: p.Address, Socket: p.Socket,
	}
	if v.Protocol == "" {
		v.Protocol = string(spec.TCP)
	}
	return v
}
