// Package diag has what is said about a manifest: places, diagnostics, the one list that collects them, and the two
// writers that show them, for people and for programs.
//
// It knows nothing of the manifest's format, opens no file and prints only to the writer it is given. Text from a
// manifest never reaches a terminal unescaped through it. The packages schema, plan and cmd import it.
package diag

import "fmt"

// Pos is a place in a manifest. The zero value is no place.
type Pos struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1
	Col  int    `json:"col,omitempty"`  // from 1, in characters
}

// String gives file:line:col, as editors and terminals link it.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}
