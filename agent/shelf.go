package agent

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"

	"evenkeel/agent/plan"
)

// shelved is a map of a record that may be large and is seldom needed. Between two passes it
// is there as its JSON, deflated, which takes a tenth of the memory: a map of many small
// texts also keeps the pages on which they lie, among the garbage that they came with. As a
// part of a record it reads and writes as the map alone.
type shelved[V any] struct {
	off    map[string]V // nil while it is put away
	packed []byte       // what the map holds, nil as long as it was never put away
}

func shelve[V any](m map[string]V) shelved[V] { return shelved[V]{off: m} }

// all is the map, which nobody may change: what was packed would say otherwise.
func (s *shelved[V]) all() map[string]V {
	if s.off == nil && s.packed != nil {
		must(json.Unmarshal(s.text(), &s.off))
	}
	return s.off
}

// putAway keeps what is packed, and lets go of the map.
func (s *shelved[V]) putAway() {
	if s.packed == nil && len(s.off) > 0 {
		text, err := json.Marshal(s.off)
		must(err)
		var packed bytes.Buffer
		w, err := flate.NewWriter(&packed, flate.BestSpeed)
		must(err)
		_, err = w.Write(text)
		must(err)
		must(w.Close())
		s.packed = bytes.Clone(packed.Bytes())
	}
	if s.packed != nil {
		s.off = nil
	}
}

// isOff reports whether the map itself is there.
func (s *shelved[V]) isOff() bool { return len(s.off) > 0 }

// text is the JSON of what is packed.
func (s *shelved[V]) text() []byte {
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(s.packed)))
	must(err)
	return text
}

// must is for what can fail for other data than our own only.
func must(err error) {
	if err != nil {
		panic("internal error: what was put away cannot be had: " + err.Error())
	}
}

// IsZero reports whether a record has nothing to say of the map.
func (s shelved[V]) IsZero() bool { return len(s.off) == 0 && s.packed == nil }

// MarshalJSON writes the map. Its receiver is a value because a record may be one.
func (s shelved[V]) MarshalJSON() ([]byte, error) {
	if s.packed != nil {
		return s.text(), nil // also where the map is off: this takes a part of the time
	}
	return json.Marshal(s.off)
}

// UnmarshalJSON reads a map.
func (s *shelved[V]) UnmarshalJSON(data []byte) error {
	*s = shelved[V]{}
	return json.Unmarshal(data, &s.off)
}

// goodState is a plan.State in a record.
type goodState struct {
	Paths shelved[plan.Path]   `json:"paths,omitzero"`
	Units map[string]plan.Unit `json:"units,omitempty"`
}

func goodStateOf(s plan.State) goodState { return goodState{shelve(s.Paths), s.Units} }

// isOff reports whether putAway would make the record smaller.
func (l *Ledger) isOff() bool {
	return l.Owned.isOff() || l.Good != nil && l.Good.State.Paths.isOff()
}

// putAway makes a record that nobody needs for a while small.
func (l *Ledger) putAway() {
	l.Owned.putAway()
	if l.Good != nil {
		l.Good.State.Paths.putAway()
	}
}
