package diag

import "github.com/mattn/go-runewidth"

// columns counts alike on every host: what is ambiguous in width is narrow, whatever the locale.
var columns = &runewidth.Condition{StrictEmojiNeutral: true}

// width gives the columns that s takes on a terminal.
func width(s string) int { return columns.StringWidth(s) }
