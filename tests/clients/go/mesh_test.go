package clients

import (
	"fmt"
	"testing"
)

// specs has two of each kind.
type specs struct {
	mesh, node, router, route, service, virtualGateway, gatewayRoute [2]any
}

// everyKind names them, in the order in which they can be created.
func everyKind(mesh string, all specs) []resource {
	of := func(kind string, specs [2]any, names ...string) resource {
		members := map[string]any{"MeshName": mesh}
		for i := 0; i < len(names); i += 2 {
			members[names[i]] = names[i+1]
		}
		return resource{kind, members, specs[0], specs[1]}
	}
	return []resource{
		of("Mesh", all.mesh),
		of("VirtualNode", all.node, "VirtualNodeName", "node"),
		of("VirtualRouter", all.router, "VirtualRouterName", "router"),
		of("VirtualService", all.service, "VirtualServiceName", "service.invalid"),
		of("Route", all.route, "VirtualRouterName", "router", "RouteName", "route"),
		of("VirtualGateway", all.virtualGateway, "VirtualGatewayName", "gateway"),
		of("GatewayRoute", all.gatewayRoute, "VirtualGatewayName", "gateway", "GatewayRouteName", "route"),
	}
}

// pagedNodes creates five virtual nodes in a mesh of their own and returns their names.
func pagedNodes(t *testing.T, s sdk, mesh string, spec any) []string {
	t.Helper()
	mustCall(t, s, "CreateMesh", map[string]any{"MeshName": mesh})
	var names []string
	for i := range 5 {
		name := fmt.Sprintf("node-%d", i)
		names = append(names, name)
		mustCall(t, s, "CreateVirtualNode", map[string]any{"MeshName": mesh, "VirtualNodeName": name, "Spec": spec})
	}
	return names
}

func mustCall(t *testing.T, s sdk, operation string, members map[string]any) {
	t.Helper()
	if _, err := s.call(operation, members); err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
}

// refusals is what one SDK needs to meet each exception.
type refusals struct {
	node, other, gateway, dangling               any
	notFound, conflict, inUse, badRequest, limit func(error) bool
}

// refused meets each exception that the service has for what a client may do wrong.
func refused(t *testing.T, s sdk, mesh string, r refusals) {
	of := func(members map[string]any) map[string]any {
		members["MeshName"] = mesh
		return members
	}
	mustCall(t, s, "CreateMesh", of(map[string]any{}))
	mustCall(t, s, "CreateVirtualNode", of(map[string]any{"VirtualNodeName": "node", "Spec": r.node}))
	mustCall(t, s, "CreateVirtualGateway", of(map[string]any{"VirtualGatewayName": "one", "Spec": r.gateway}))
	for _, expected := range []failure{
		{"DescribeMesh", map[string]any{"MeshName": "nowhere"}, r.notFound, "NotFoundException"},
		{"DeleteVirtualNode", of(map[string]any{"VirtualNodeName": "nobody"}), r.notFound, "NotFoundException"},
		{"CreateVirtualNode", of(map[string]any{"VirtualNodeName": "node", "Spec": r.other}), r.conflict, "ConflictException"},
		{"DeleteMesh", of(map[string]any{}), r.inUse, "ResourceInUseException"},
		{"CreateVirtualService", of(map[string]any{"VirtualServiceName": "s.invalid", "Spec": r.dangling}), r.badRequest, "BadRequestException"},
		{"CreateVirtualGateway", of(map[string]any{"VirtualGatewayName": "two", "Spec": r.gateway}), r.limit, "LimitExceededException"},
	} {
		expected.check(t, s)
	}
}
