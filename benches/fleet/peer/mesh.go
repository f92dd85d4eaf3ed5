package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// A mesh is a number of services and of groups of sidecars. A group has service 0, which all groups share, and every
// groups-th service.
type mesh struct {
	services, backends, groups int
	cache                      cache.SnapshotCache

	mu sync.Mutex
	// How often each service was bumped, and each group's endpoints had a new version.
	bumps, versions []int
	// Each service's endpoints as they are now, shared by the groups that have it.
	endpoints []types.Resource
	// Each group's snapshot; what does not change is shared with the one before.
	snapshots []*cache.Snapshot
}

func newMesh(ctx context.Context, services, backends int) (*mesh, error) {
	if backends < 1 || services < backends {
		return nil, fmt.Errorf("%d of %d services cannot be backends", backends, services)
	}
	groups := services / backends
	m := &mesh{
		services: services, backends: backends, groups: groups,
		cache: cache.NewSnapshotCache(true, groupHash(groups), nil),
		bumps: make([]int, services), versions: make([]int, groups),
		endpoints: make([]types.Resource, services), snapshots: make([]*cache.Snapshot, groups),
	}
	clusters, listeners, routes := make([]types.Resource, services), make([]types.Resource, services), make([]types.Resource, services)
	for k := range services {
		var err error
		if listeners[k], err = listener(k); err != nil {
			return nil, err
		}
		clusters[k], routes[k], m.endpoints[k] = cluster(k), route(k), endpoints(k, 0)
	}
	for group := range groups {
		snapshot := &cache.Snapshot{}
		of := m.servicesOf(group)
		snapshot.Resources[types.Cluster] = cache.NewResources("0", pick(clusters, of))
		snapshot.Resources[types.Endpoint] = cache.NewResources("0", pick(m.endpoints, of))
		snapshot.Resources[types.Listener] = cache.NewResources("0", pick(listeners, of))
		snapshot.Resources[types.Route] = cache.NewResources("0", pick(routes, of))
		if err := snapshot.Consistent(); err != nil {
			return nil, err
		}
		m.snapshots[group] = snapshot
		if err := m.cache.SetSnapshot(ctx, groupName(group), snapshot); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// bump changes one endpoint of a service, for the groups that have it.
func (m *mesh) bump(ctx context.Context, service int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bumps[service]++
	m.endpoints[service] = endpoints(service, m.bumps[service])
	for group := range m.groups {
		of := m.servicesOf(group)
		if !contains(of, service) {
			continue
		}
		m.versions[group]++
		snapshot := &cache.Snapshot{Resources: m.snapshots[group].Resources}
		version := strconv.Itoa(m.versions[group])
		snapshot.Resources[types.Endpoint] = cache.NewResources(version, pick(m.endpoints, of))
		m.snapshots[group] = snapshot
		if err := m.cache.SetSnapshot(ctx, groupName(group), snapshot); err != nil {
			return err
		}
	}
	return nil
}

func (m *mesh) servicesOf(group int) []int {
	services := []int{0}
	for j := 1; j < m.backends; j++ {
		services = append(services, group+j*m.groups)
	}
	return services
}

func pick(resources []types.Resource, services []int) []types.Resource {
	picked := make([]types.Resource, len(services))
	for i, k := range services {
		picked[i] = resources[k]
	}
	return picked
}

func contains(services []int, service int) bool {
	for _, k := range services {
		if k == service {
			return true
		}
	}
	return false
}

func groupName(group int) string { return "group-" + strconv.Itoa(group) }

// groupHash maps a node to its group: the number at the end of its id, modulo the number of groups.
type groupHash int

func (groups groupHash) ID(node *core.Node) string {
	id := node.GetId()
	number, err := strconv.Atoi(id[strings.LastIndex(id, "-")+1:])
	if err != nil {
		return id
	}
	return groupName(number % int(groups))
}
