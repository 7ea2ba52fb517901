package etcdstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxValue bounds the values of keys that are read, in bytes. Written ones are shorter.
const maxValue = 4 << 10

// gameValue is the value of a game's key.
type gameValue struct {
	// Count is the number that the game has reached: all numbers up to it are stored.
	Count int64 `json:"count"`
	// Epoch grows by one with each change of the owner, so that owner and epoch identify
	// the writes of one opening of the game.
	Epoch int64 `json:"epoch"`
	// Owner is the key, without its prefix, of the only replica that may write the
	// count, or "" for none.
	Owner string `json:"owner"`
	// At is when the count was written, in milliseconds since 1970, or 0 if it never
	// was. It is for display only.
	At int64 `json:"at"`
}

func (v gameValue) encode() []byte { return encode(v) }

// at returns when the count was written, or the zero time.
func (v gameValue) at() time.Time {
	if v.At == 0 {
		return time.Time{}
	}
	return time.UnixMilli(v.At)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// decodeGame decodes the value of a game's key. A value that this version does not
// understand is an error, and must not be overwritten.
func decodeGame(e entry) (gameValue, error) {
	var v gameValue
	err := decode(e.value, &v)
	switch {
	case err != nil:
	case v.Count < 0:
		err = fmt.Errorf("its count is %d", v.Count)
	case v.Epoch < 1:
		err = fmt.Errorf("its epoch is %d", v.Epoch)
	case v.Count > 0 && v.At <= 0:
		err = errors.New("it has no time of the last write")
	}
	if err != nil {
		return gameValue{}, fmt.Errorf("etcd's key %q has a value that is not a count of this server's, %.100q (%w); it is left as it is: correct or delete it", e.key, e.value, err)
	}
	return v, nil
}

// replicaValue is the value of a replica's key.
type replicaValue struct {
	Addr   string `json:"addr"` // host:port of its internal listener
	Secret string `json:"secret"`
	Host   string `json:"host"` // its name, for logs
}

func decodeReplica(e entry) (replicaValue, error) {
	var v replicaValue
	err := decode(e.value, &v)
	if err == nil && (v.Addr == "" || v.Secret == "") {
		err = errors.New("it has no address or no secret")
	}
	if err != nil {
		return replicaValue{}, fmt.Errorf("etcd's key %q has no valid address of a server (%w)", e.key, err)
	}
	return v, nil
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // impossible: v has only numbers and strings
	}
	return text
}

func decode(text []byte, v any) error {
	if len(text) > maxValue {
		return fmt.Errorf("it has %d bytes", len(text))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is data after the JSON")
	}
	return nil
}

// earlier reports whether owner is an incarnation of the replica with that name before
// this one. A later one is not: of two running servers with the same name, only one
// takes games from the other.
func earlier(owner, name string, incarnation int64) bool {
	number, ok := strings.CutPrefix(owner, name+"#")
	n, err := strconv.ParseInt(number, 10, 64)
	return ok && err == nil && n < incarnation
}
