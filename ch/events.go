package ch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// Event is one entry of a VMM's event stream.
type Event struct {
	Since      time.Duration // since the VMM started
	Source     string        // "vmm", "vm", "guest", "virtio-device"
	Name       string        // "booted"
	Properties map[string]string
}

// Is compares both names: e.Is("vm", "booted").
func (e Event) Is(source, name string) bool { return e.Source == source && e.Name == name }

// maxEvent bounds one event; the longest known has some 200 bytes.
const maxEvent = 64 << 10

// EventDecoder reads an event stream: JSON objects over several lines, an empty line after each. The writer does
// not wait for a slow reader, so an event may be missing or torn; what can't be read is skipped to the next line
// that opens an object.
type EventDecoder struct {
	r       *bufio.Reader
	Skipped int // lines that belonged to no readable event
}

// NewEventDecoder reads from r. Give it a pipe or socket end of its own.
func NewEventDecoder(r io.Reader) *EventDecoder {
	return &EventDecoder{r: bufio.NewReaderSize(r, 16<<10)}
}

// Next gives the next event, or the error that ended the stream; io.EOF also when it ends inside an event.
func (d *EventDecoder) Next() (Event, error) {
	var object []byte
	lines := 0
	for {
		line, err := d.line()
		if err != nil {
			d.Skipped += lines
			return Event{}, err
		}
		if bytes.HasPrefix(line, []byte("{")) {
			d.Skipped += lines
			object, lines = object[:0], 0
		} else if lines == 0 && !bytes.HasSuffix(line, []byte("{\n")) { // a torn line may end with the brace that opens the next event
			if len(bytes.TrimSpace(line)) > 0 {
				d.Skipped++
			}
			continue
		}
		object = append(object, line...)
		lines++
		if !bytes.HasSuffix(bytes.TrimSpace(line), []byte("}")) || line[0] == ' ' || line[0] == '\t' {
			if len(object) > maxEvent {
				d.Skipped += lines
				object, lines = object[:0], 0
			}
			continue
		}
		for rest := object; rest != nil; rest = nextBrace(rest) {
			if e, ok := decodeEvent(rest); ok {
				if len(rest) < len(object) {
					d.Skipped++
				}
				return e, nil
			}
		}
		d.Skipped += lines
		object, lines = object[:0], 0
	}
}

// nextBrace gives the part of object that begins at its next brace which ends a line; nil when there is none.
func nextBrace(object []byte) []byte {
	if len(object) == 0 {
		return nil
	}
	i := bytes.Index(object[1:], []byte("{\n"))
	if i < 0 {
		return nil
	}
	return object[1+i:]
}

// line gives one line with its end; an overlong one comes in pieces.
func (d *EventDecoder) line() ([]byte, error) {
	line, err := d.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil
	}
	return line, err
}

func decodeEvent(object []byte) (Event, bool) {
	var raw struct {
		Timestamp struct {
			Secs  uint64 `json:"secs"`
			Nanos uint32 `json:"nanos"`
		} `json:"timestamp"`
		Source     string         `json:"source"`
		Event      string         `json:"event"`
		Properties map[string]any `json:"properties"`
	}
	if json.Unmarshal(object, &raw) != nil || raw.Source == "" || raw.Event == "" {
		return Event{}, false
	}
	e := Event{Source: raw.Source, Name: raw.Event}
	e.Since = time.Duration(raw.Timestamp.Secs)*time.Second + time.Duration(raw.Timestamp.Nanos)
	for name, value := range raw.Properties {
		text, ok := value.(string)
		if !ok {
			encoded, err := json.Marshal(value)
			if err != nil {
				return Event{}, false
			}
			text = string(encoded)
		}
		if e.Properties == nil {
			e.Properties = map[string]string{}
		}
		e.Properties[name] = text
	}
	return e, true
}
