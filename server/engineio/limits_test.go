package engineio

import (
	"testing"
	"time"
)

func TestDebt(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var d debt
	if got := d.delay(now); got != 0 {
		t.Errorf("who owes nothing waits %v", got)
	}
	d.add(credit, now)
	if got := d.delay(now); got > 0 {
		t.Errorf("within the credit it waits %v", got)
	}
	d.add(time.Second, now)
	if got := d.delay(now); got != time.Second {
		t.Errorf("it waits %v, want 1s", got)
	}
	if got := d.delay(now.Add(400 * time.Millisecond)); got != 600*time.Millisecond {
		t.Errorf("after 400ms it waits %v, want 600ms", got)
	}
	d.add(time.Hour, now)
	if got := d.delay(now); got != mostDelay {
		t.Errorf("it waits %v, want %v at most", got, mostDelay)
	}
	d = debt{}
	d.add(time.Second, now)
	d.add(time.Millisecond, now.Add(time.Hour))
	if got := d.delay(now.Add(time.Hour)); got > 0 {
		t.Errorf("after an hour it waits %v", got)
	}
}
