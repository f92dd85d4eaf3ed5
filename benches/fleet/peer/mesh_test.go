package main

import (
	"context"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

func TestABumpChangesTheEndpointsOfTheGroupsThatHaveTheService(t *testing.T) {
	m, err := newMesh(context.Background(), 20, 4) // five groups
	if err != nil {
		t.Fatal(err)
	}
	version := func(group int, typeURL string) string {
		snapshot, err := m.cache.GetSnapshot(groupName(group))
		if err != nil {
			t.Fatal(err)
		}
		return snapshot.GetVersion(typeURL)
	}
	for _, service := range []int{6, 0} { // group 1 only, then every group
		if err := m.bump(context.Background(), service); err != nil {
			t.Fatal(err)
		}
	}
	if one, two := version(1, resource.EndpointType), version(2, resource.EndpointType); one != "2" || two != "1" {
		t.Errorf("groups 1 and 2 are at endpoints %s and %s", one, two)
	}
	if clusters := version(1, resource.ClusterType); clusters != "0" {
		t.Errorf("clusters changed to %s", clusters)
	}
	if held := len(m.snapshots[1].Resources[types.Endpoint].Items); held != 4 {
		t.Errorf("the group has %d services", held)
	}
}

func TestANodeBelongsToTheGroupThatItsNumberSays(t *testing.T) {
	for id, group := range map[string]string{
		"mesh/bench/virtualNode/group-7": "group-2",
		"node-11":                        "group-1",
		"other":                          "other",
	} {
		if got := groupHash(5).ID(&core.Node{Id: id}); got != group {
			t.Errorf("%s is in %s", id, got)
		}
	}
}
