package sio

import "testing"

func TestSmoke(t *testing.T) {
	var d Decoder
	p, ok, err := d.Text([]byte(`2/a,7["ev",{"x":[1,2]},"y"]`), Limits{})
	if err != nil || !ok {
		t.Fatal(p, ok, err)
	}
	name, args, err := p.Event()
	if name != "ev" || err != nil || args.Len() != 2 || string(AppendArgs(nil, args)) != `[{"x":[1,2]},"y"]` {
		t.Fatal(name, args, err)
	}
	if _, _, err := d.Text([]byte(`51-["a",{"_placeholder":true,"num":1}]`), Limits{}); err != ErrPlaceholder {
		t.Fatal(err)
	}
}
