package control

import (
	"encoding/json"

	"microagent/runtime/driver"
)

// readyLine is what a supervisor says once, when its guest is ready or can't be.
type readyLine struct {
	Run     runWire  `json:"run"`
	Failure *Failure `json:"failure,omitempty"`
}

// EncodeReady gives the ready line, with its newline: of a run, and of the error of a start that failed.
func EncodeReady(run driver.Run, err error) []byte {
	line, jsonErr := json.Marshal(readyLine{runWireOf(run), FailureOf(err)})
	if jsonErr != nil {
		panic(jsonErr) // plain structs always encode
	}
	return append(line, '\n')
}

// DecodeReady reads a ready line: failed is the supervisor's error, err that of a line that is none.
func DecodeReady(line []byte) (run driver.Run, failed, err error) {
	var r readyLine
	if err := json.Unmarshal(line, &r); err != nil {
		return driver.Run{}, nil, err
	}
	return r.Run.run(), r.Failure.Error(), nil
}
