package clients

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sdk calls operations of either SDK by their names.
type sdk struct {
	client any
	// What comes before the input.
	before []reflect.Value
}

func v1(client any) sdk { return sdk{client, nil} }

func v2(client any) sdk {
	return sdk{client, []reflect.Value{reflect.ValueOf(context.Background())}}
}

// call fills the operation's input with members and returns its output.
func (s sdk) call(operation string, members map[string]any) (reflect.Value, error) {
	method := reflect.ValueOf(s.client).MethodByName(operation)
	if !method.IsValid() {
		return reflect.Value{}, fmt.Errorf("there is no operation %s", operation)
	}
	input := reflect.New(method.Type().In(len(s.before)).Elem())
	for name, value := range members {
		if text, ok := value.(string); ok {
			value = &text
		}
		input.Elem().FieldByName(name).Set(reflect.ValueOf(value))
	}
	results := method.Call(append(slices.Clone(s.before), input))
	err, _ := results[1].Interface().(error)
	return results[0].Elem(), err
}

// resource is one of a mesh: who it is, and the specs that it is created with and updated to.
type resource struct {
	kind           string
	names          map[string]any
	first, changed any
}

// data is what SDKs return of a resource.
type data struct {
	spec    any
	uid     string
	version int64
	status  string
}

// on calls an operation on the resource.
func (r resource) on(t *testing.T, s sdk, verb string, spec any) (data, error) {
	t.Helper()
	members := map[string]any{}
	for name, value := range r.names {
		members[name] = value
	}
	if spec != nil {
		members["Spec"] = spec
	}
	output, err := s.call(verb+r.kind, members)
	if err != nil {
		return data{}, err
	}
	found := output.FieldByName(r.kind).Elem()
	metadata := found.FieldByName("Metadata").Elem()
	text := func(name string) string { return metadata.FieldByName(name).Elem().String() }
	for _, owner := range []string{"MeshOwner", "ResourceOwner"} {
		if text(owner) != account {
			t.Errorf("%s %v: %s is %q", verb+r.kind, r.names, owner, text(owner))
		}
	}
	return data{
		spec:    found.FieldByName("Spec").Interface(),
		uid:     text("Uid"),
		version: metadata.FieldByName("Version").Elem().Int(),
		status:  reflect.Indirect(found.FieldByName("Status").Elem().FieldByName("Status")).String(),
	}, nil
}

// must is on for what has to go well, and holds version and status to what is expected.
func (r resource) must(t *testing.T, s sdk, verb string, spec any, version int64, status string) data {
	t.Helper()
	answer, err := r.on(t, s, verb, spec)
	if err != nil {
		t.Fatalf("%s %v: %v", verb+r.kind, r.names, err)
	}
	if answer.version != version || answer.status != status {
		t.Errorf("%s %v: version %d, %s; expected %d, %s",
			verb+r.kind, r.names, answer.version, answer.status, version, status)
	}
	return answer
}

// lifecycle creates, reads, updates and deletes each resource. A spec that is read must be the one that was sent, or the
// client would update it for ever.
func lifecycle(t *testing.T, s sdk, mesh []resource, isNotFound func(error) bool, equality ...cmp.Option) {
	differs := func(r resource, what string, sent, read any) {
		t.Helper()
		if difference := cmp.Diff(sent, read, equality...); difference != "" {
			t.Errorf("%s %v: %s is not what was sent (-sent +read):\n%s", r.kind, r.names, what, difference)
		}
	}
	for _, r := range mesh {
		created := r.must(t, s, "Create", r.first, 1, "ACTIVE")
		differs(r, "what was created", r.first, created.spec)
		read := r.must(t, s, "Describe", nil, 1, "ACTIVE")
		differs(r, "what is read", r.first, read.spec)
		again := r.must(t, s, "Create", r.first, 1, "ACTIVE")
		if created.uid == "" || read.uid != created.uid || again.uid != created.uid {
			t.Errorf("%s %v: uids %q, %q, %q", r.kind, r.names, created.uid, read.uid, again.uid)
		}
		r.must(t, s, "Update", created.spec, 1, "ACTIVE")
	}
	for _, r := range mesh {
		updated := r.must(t, s, "Update", r.changed, 2, "ACTIVE")
		differs(r, "what was updated", r.changed, updated.spec)
		read := r.must(t, s, "Describe", nil, 2, "ACTIVE")
		differs(r, "what is read after the update", r.changed, read.spec)
		r.must(t, s, "Update", read.spec, 2, "ACTIVE")
	}
	for _, r := range slices.Backward(mesh) {
		r.must(t, s, "Delete", nil, 3, "DELETED")
		if _, err := r.on(t, s, "Describe", nil); !isNotFound(err) {
			t.Errorf("%s %v is deleted: %v", r.kind, r.names, err)
		}
		t.Logf("created, read, updated, deleted: %s", r.kind)
	}
}

// failure is a call that has to fail.
type failure struct {
	operation string
	members   map[string]any
	// Whether an error is the SDK's own type for what is expected.
	is       func(error) bool
	expected string
}

func (f failure) check(t *testing.T, s sdk) {
	t.Helper()
	_, err := s.call(f.operation, f.members)
	if !f.is(err) {
		t.Errorf("%s: expected %s, got %v", f.operation, f.expected, err)
		return
	}
	t.Logf("%s: %v", f.expected, err)
}
