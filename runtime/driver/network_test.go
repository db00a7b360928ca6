package driver

import (
	"reflect"
	"testing"
	"time"
)

// TestStatesOfARunAddUp: no count is lost with the process that had it, and each has its words.
func TestStatesOfARunAddUp(t *testing.T) {
	var one NetworkDrops
	fields := reflect.ValueOf(&one).Elem()
	for i := range fields.NumField() {
		fields.Field(i).SetUint(uint64(i) + 1)
	}
	before := NetworkState{Denied: 3, Flows: 7, Dropped: one, Last: &Denial{Time: time.Unix(1, 0)}}
	now := NetworkState{Denied: 2, Flows: 1, Dropped: one}.After(before)
	sum := reflect.ValueOf(now.Dropped)
	for i := range sum.NumField() {
		if got := sum.Field(i).Uint(); got != 2*(uint64(i)+1) {
			t.Errorf("%s is %d", sum.Type().Field(i).Name, got)
		}
	}
	if now.Denied != 5 || now.Flows != 1 || now.Last != before.Last {
		t.Errorf("%+v", now)
	}
	if n := len(one.Texts()); n != sum.NumField() {
		t.Errorf("%d of %d counts are told", n, sum.NumField())
	}
	if texts := (NetworkDrops{}).Texts(); len(texts) > 0 {
		t.Errorf("nothing was dropped, and it says %q", texts)
	}
}
