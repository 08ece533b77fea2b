package reward

import (
	"reflect"
	"testing"
	"time"
)

func duration(p *Params) any { return p.Duration("k", time.Hour) }

func size(p *Params) any { return p.Size("k", 7) }

// What recipes say of durations and sizes, in numbers.
func TestQuantities(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at   any
		read func(p *Params) any
		want any
	}{
		{nil, duration, time.Hour},
		{"90s", duration, 90 * time.Second},
		{"1m30s", duration, 90 * time.Second},
		{"20ms", duration, 20 * time.Millisecond},
		{nil, size, int64(7)},
		{"1B", size, int64(1)},
		{"4GiB", size, int64(4 << 30)},
		{"0.5 KiB", size, int64(512)},
		{"512 MB", size, int64(512e6)},
		{"3kB", size, int64(3000)},
	} {
		p := &Params{values: map[string]any{"k": c.at}}
		if got := c.read(p); got != c.want || p.Err() != nil {
			t.Errorf("%v: %v, error %v; want %v", c.at, got, p.Err(), c.want)
		}
	}
}

// A wrong value is one error, and the default in its place.
func TestParamsErrors(t *testing.T) {
	t.Parallel()
	table := func(p *Params) any { return len(p.Table("k")) }
	list := func(p *Params) any { return len(p.Strings("k")) }
	whole := func(p *Params) any { return p.Int("k", 3) }
	for _, c := range []struct {
		read func(p *Params) any
		def  any
		at   any
		want string
	}{
		{duration, time.Hour, "5", `k is 5 (string), want a duration of more than 0, such as "60s"`},
		{duration, time.Hour, "0s", `k is 0s (string), want a duration of more than 0, such as "60s"`},
		{duration, time.Hour, int64(5), `k needs a unit, for example "5s"; found 5`},
		{duration, time.Hour, true, `k is true (bool), want a duration, such as "60s"`},
		{size, int64(7), "4", `k is 4 (string), want a size of more than 0, such as "512MiB"`},
		{size, int64(7), "-1GiB", `k is -1GiB (string), want a size of more than 0, such as "512MiB"`},
		{size, int64(7), "NaN B", `k is NaN B (string), want a size of more than 0, such as "512MiB"`},
		{size, int64(7), "9e18kB", `k is 9e18kB (string), want a size of more than 0, such as "512MiB"`},
		{size, int64(7), 4.5, `k needs a unit, for example "4.5MiB"; found 4.5`},
		{size, int64(7), []any{}, `k is [] ([]interface {}), want a size, such as "512MiB"`},
		{table, 0, "t", `k is t (string), want a table`},
		{list, 0, []any{"a", 1}, `k is [a 1] ([]interface {}), want a list of strings`},
		{list, 0, "a", `k is a (string), want a list of strings`},
		{whole, 3, 2.5, `k is 2.5 (float64), want a whole number`},
		{whole, 3, 1e10, `k is 1e+10 (float64), want a whole number`},
	} {
		p := &Params{values: map[string]any{"k": c.at}}
		if got := c.read(p); !reflect.DeepEqual(got, c.def) || p.Err() == nil || p.Err().Error() != c.want {
			t.Errorf("%v: %v, error\n%v, want %v and\n%s", c.at, got, p.Err(), c.def, c.want)
		}
	}
	p := &Params{values: map[string]any{"a": 1, "b": 2}}
	if p.String("a", ""); p.String("b", "") != "" || p.Err().Error() != "a is 1 (int), want a string" {
		t.Errorf("error %v, want that of the first value that is wrong", p.Err())
	}
}
