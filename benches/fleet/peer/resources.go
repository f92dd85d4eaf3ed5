package main

import (
	"fmt"

	cluster_v3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener_v3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route_v3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/wellknown"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The resources are those of the floor, field by field.

func serviceName(k int) string { return fmt.Sprintf("svc-%d", k) }
func routeName(k int) string   { return fmt.Sprintf("route-%d", k) }

func ads() *core.ConfigSource {
	return &core.ConfigSource{
		ResourceApiVersion:    core.ApiVersion_V3,
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
	}
}

func socket(address string, port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address:       address,
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
	}}}
}

func cluster(k int) types.Resource {
	limit := wrapperspb.UInt32(1024)
	return &cluster_v3.Cluster{
		Name:                 serviceName(k),
		ConnectTimeout:       durationpb.New(1e9),
		ClusterDiscoveryType: &cluster_v3.Cluster_Type{Type: cluster_v3.Cluster_EDS},
		EdsClusterConfig:     &cluster_v3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		LbPolicy:             cluster_v3.Cluster_LEAST_REQUEST,
		CircuitBreakers: &cluster_v3.CircuitBreakers{Thresholds: []*cluster_v3.CircuitBreakers_Thresholds{{
			MaxConnections: limit, MaxRequests: limit, MaxPendingRequests: limit,
		}}},
	}
}

// Ten endpoints; bump changes the address of the first.
func endpoints(k, bump int) types.Resource {
	var hosts []*endpoint.LbEndpoint
	for e := range 10 {
		last := 100 + e
		if e == 0 {
			last = 200 + bump%50
		}
		address := fmt.Sprintf("10.%d.%d.%d", 100+k/256, k%256, last)
		hosts = append(hosts, &endpoint.LbEndpoint{
			HealthStatus:        core.HealthStatus_HEALTHY,
			LoadBalancingWeight: wrapperspb.UInt32(1),
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{
				Endpoint: &endpoint.Endpoint{Address: socket(address, 8080)},
			},
		})
	}
	return &endpoint.ClusterLoadAssignment{
		ClusterName: serviceName(k),
		Endpoints: []*endpoint.LocalityLbEndpoints{{
			Locality:            &core.Locality{Region: "eu-west-1", Zone: "eu-west-1a"},
			LoadBalancingWeight: wrapperspb.UInt32(1),
			LbEndpoints:         hosts,
		}},
	}
}

func listener(k int) (types.Resource, error) {
	routerConfig, err := anypb.New(&router.Router{})
	if err != nil {
		return nil, err
	}
	manager, err := anypb.New(&hcm.HttpConnectionManager{
		StatPrefix: serviceName(k),
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{
			Rds: &hcm.Rds{ConfigSource: ads(), RouteConfigName: routeName(k)},
		},
		HttpFilters: []*hcm.HttpFilter{{
			Name:       wellknown.Router,
			ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: routerConfig},
		}},
	})
	if err != nil {
		return nil, err
	}
	return &listener_v3.Listener{
		Name:    fmt.Sprintf("listener-%d", k),
		Address: socket("127.0.0.1", uint32(10000+k)),
		FilterChains: []*listener_v3.FilterChain{{Filters: []*listener_v3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listener_v3.Filter_TypedConfig{TypedConfig: manager},
		}}}},
	}, nil
}

func route(k int) types.Resource {
	name := serviceName(k)
	return &route_v3.RouteConfiguration{
		Name: routeName(k),
		VirtualHosts: []*route_v3.VirtualHost{{
			Name:    name,
			Domains: []string{name, name + ":8080", name + ".mesh.local"},
			Routes: []*route_v3.Route{{
				Match: &route_v3.RouteMatch{PathSpecifier: &route_v3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &route_v3.Route_Route{Route: &route_v3.RouteAction{
					ClusterSpecifier: &route_v3.RouteAction_Cluster{Cluster: name},
					Timeout:          durationpb.New(15e9),
				}},
			}},
		}},
	}
}
