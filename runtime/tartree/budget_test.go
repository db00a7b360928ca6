package tartree

import (
	"errors"
	"testing"
)

func TestBudget(t *testing.T) {
	for what, b := range map[string]Limits{
		"entries":                              {Bytes: 100, Entries: 2, Text: 100},
		"bytes":                                {Bytes: 2, Entries: 100, Text: 100},
		"bytes of names, links and attributes": {Bytes: 100, Entries: 100, Text: 2},
	} {
		budget := NewBudget(b)
		for range 2 {
			if err := budget.Spend(1, 1); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		over, ok := errors.AsType[*ExceededError](budget.Spend(1, 1))
		if !ok || over.What != what || over.Limit != 2 {
			t.Errorf("%s: %v", what, over)
		}
	}
}
