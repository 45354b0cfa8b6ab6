package edge

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzClaims holds the two ways of reading a token's claims against each other.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"sub":"u1","iat":1700000000,"exp":1700003600,"jti":"a","scope":"case:1 case:*","type":"access"}`,
		`{"userId":"auth0|7","aud":"realtime","iss":"https://x","nbf":0,"role":"lawyer","deep":{"sub":"no"}}`,
		`{"sub":"a","sub":"b"}`, `{"sub":"a","sub":null}`, `{"SUB":"a"}`, `{"\u0073ub":"a"}`, `{"\u017fub":"a"}`, `{"ſub":"a"}`,
		`{"aud":["a","b"]}`, `{"aud":null}`, `{"exp":1.5}`, `{"exp":"17"}`, `{"exp":1e9}`, `{"exp":-1}`, `{"exp":null}`,
		`{"exp":9007199254740993}`, `{"sub":"\ud800","scope":"\u00e9"}`, `{"sub":7}`, `[]`, `null`, ` {} `, `{"sub":"a"}x`, "{\"sub\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		type reflected claims
		var got claims
		var want reflected
		err, wanted := json.Unmarshal(data, &got), json.Unmarshal(data, &want)
		if (err == nil) != (wanted == nil) {
			t.Fatalf("%q: error %v, encoding/json says %v", data, err, wanted)
		}
		if err == nil && !reflect.DeepEqual(reflected(got), want) {
			t.Fatalf("%q: %+v, encoding/json reads %+v", data, got, want)
		}
	})
}

// An ordinary token must not fall back.
func TestClaimsReadWithoutReflection(t *testing.T) {
	token := []byte(`{"sub":"u1","userId":"u1","role":"lawyer","scope":"case:1","type":"access","jti":"x","iss":"i","aud":"a","iat":1700000000,"nbf":1700000000,"exp":1700003600}`)
	var c claims
	if allocated := testing.AllocsPerRun(100, func() {
		c = claims{}
		if err := c.UnmarshalJSON(token); err != nil {
			t.Fatal(err)
		}
	}); allocated > 14 {
		t.Errorf("%v allocations", allocated)
	}
	if c.Subject != "u1" || c.ExpiresAt.Unix() != 1700003600 || c.Audience[0] != "a" {
		t.Errorf("read %+v", c)
	}
}
