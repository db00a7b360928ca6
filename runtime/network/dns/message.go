package dns

import (
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// question is one that was read.
type question struct {
	header dnsmessage.Header
	asked  *dnsmessage.Question // nil: none could be read
	name   string
	kind   dnsmessage.Type
	code   dnsmessage.RCode // of the response when it is not success
	edns   bool             // its sender knows of EDNS (RFC 6891)
	room   int              // bytes that its sender takes
}

// reply is what a response says.
type reply struct {
	code      dnsmessage.RCode
	addresses []netip.Addr
	pointer   string // a name, without the dot at its end
	blocked   string // why, of what a policy denies
	failed    string // why, of what can't be had
}

const (
	smallest = 512  // what every sender takes over UDP
	largest  = 4096 // what is sent over UDP, at most
	overTCP  = 1 << 16
)

// Options and codes of extended errors: RFC 8914, sections 2 and 4.
const (
	optionError  = 15
	errorBlocked = 15
	errorNetwork = 23
	longestError = 200
)

// parse reads a message; false is one that gets no response.
func parse(message []byte, udp bool) (question, bool) {
	var p dnsmessage.Parser
	q := question{room: overTCP}
	if udp {
		q.room = smallest
	}
	var err error
	if q.header, err = p.Start(message); err != nil || q.header.Response {
		return q, false
	}
	if len(message) > Longest {
		q.code = dnsmessage.RCodeFormatError
		return q, true
	}
	if q.header.OpCode != 0 {
		q.code = dnsmessage.RCodeNotImplemented
		return q, true
	}
	asked, err := p.Question()
	if err == nil {
		_, more := p.Question()
		if more != dnsmessage.ErrSectionDone {
			err = dnsmessage.ErrSectionDone
		}
	}
	if err != nil {
		q.code = dnsmessage.RCodeFormatError
		return q, true
	}
	q.asked, q.name, q.kind = &asked, asked.Name.String(), asked.Type
	if asked.Class != dnsmessage.ClassINET || asked.Type == dnsmessage.TypeAXFR || asked.Type == 251 { // 251 is IXFR
		q.code = dnsmessage.RCodeRefused
	}
	q.readEDNS(&p, udp)
	return q, true
}

// readEDNS looks for what the sender takes. A message whose rest can't be read is answered as if it had none.
func (q *question) readEDNS(p *dnsmessage.Parser, udp bool) {
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return
	}
	for {
		h, err := p.AdditionalHeader()
		if err != nil {
			return
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns = true
			if udp {
				q.room = max(smallest, min(int(h.Class), largest))
			}
			return
		}
		if p.SkipAdditional() != nil {
			return
		}
	}
}

// respond writes a response, cut where it is too long.
func (q question) respond(r reply) []byte {
	b, err := q.write(r, false)
	if err == nil && len(b) > q.room {
		b, err = q.write(reply{code: r.code}, true)
	}
	if err != nil {
		return nil
	}
	return b
}

func (q question) write(r reply, cut bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: q.header.ID, Response: true, OpCode: q.header.OpCode, RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true,
		Truncated: cut, RCode: r.code,
	})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if q.asked != nil {
		if err := b.Question(*q.asked); err != nil {
			return nil, err
		}
	}
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	if err := q.writeAnswers(&b, r); err != nil {
		return nil, err
	}
	if q.edns {
		if err := writeEDNS(&b, r); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

func (q question) writeAnswers(b *dnsmessage.Builder, r reply) error {
	if q.asked == nil {
		return nil
	}
	h := dnsmessage.ResourceHeader{Name: q.asked.Name, Class: dnsmessage.ClassINET, TTL: uint32(timeToLive.Seconds())}
	for _, a := range r.addresses {
		var err error
		if a.Is4() {
			err = b.AResource(h, dnsmessage.AResource{A: a.As4()})
		} else {
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
		if err != nil {
			return err
		}
	}
	if r.pointer == "" {
		return nil
	}
	name, err := dnsmessage.NewName(r.pointer + ".")
	if err != nil {
		return err
	}
	return b.PTRResource(h, dnsmessage.PTRResource{PTR: name})
}

func writeEDNS(b *dnsmessage.Builder, r reply) error {
	if err := b.StartAdditionals(); err != nil {
		return err
	}
	var h dnsmessage.ResourceHeader
	if err := h.SetEDNS0(largest, r.code, false); err != nil {
		return err
	}
	var options []dnsmessage.Option
	for code, text := range map[uint16]string{errorBlocked: r.blocked, errorNetwork: r.failed} {
		if text != "" {
			data := append([]byte{byte(code >> 8), byte(code)}, text[:min(len(text), longestError)]...)
			options = append(options, dnsmessage.Option{Code: optionError, Data: data})
		}
	}
	return b.OPTResource(h, dnsmessage.OPTResource{Options: options})
}
