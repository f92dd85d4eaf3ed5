package clients

import (
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/appmesh"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func v1Client(t *testing.T, secret string) *appmesh.AppMesh {
	t.Helper()
	config := aws.NewConfig().
		WithEndpoint(apiURL).
		WithRegion(region).
		WithMaxRetries(0).
		WithCredentials(credentials.NewStaticCredentials(accessKey, secret, ""))
	opened, err := session.NewSession(config)
	if err != nil {
		t.Fatal(err)
	}
	return appmesh.New(opened)
}

func v1Is[E error](err error) bool {
	var wanted E
	return errors.As(err, &wanted)
}

func v1Duration(value int64, unit string) *appmesh.Duration {
	return &appmesh.Duration{Value: aws.Int64(value), Unit: aws.String(unit)}
}

func v1Node(hostname, protocol string, port int64) *appmesh.VirtualNodeSpec {
	mapping := &appmesh.PortMapping{Port: aws.Int64(port), Protocol: aws.String(protocol)}
	dns := &appmesh.DnsServiceDiscovery{Hostname: aws.String(hostname)}
	return &appmesh.VirtualNodeSpec{
		Listeners:        []*appmesh.Listener{{PortMapping: mapping}},
		ServiceDiscovery: &appmesh.ServiceDiscovery{Dns: dns},
	}
}

// As the controller makes it of its custom resource: lists that are empty instead of nil, and no port in the health check.
func v1FullNode() *appmesh.VirtualNodeSpec {
	spec := v1Node("a.invalid", appmesh.PortProtocolHttp, 8080)
	spec.Listeners[0].HealthCheck = &appmesh.HealthCheckPolicy{
		HealthyThreshold: aws.Int64(2), UnhealthyThreshold: aws.Int64(3),
		IntervalMillis: aws.Int64(5000), TimeoutMillis: aws.Int64(2000),
		Path: aws.String("/ping"), Protocol: aws.String(appmesh.PortProtocolHttp),
	}
	spec.Listeners[0].Timeout = &appmesh.ListenerTimeout{Http: &appmesh.HttpTimeout{
		Idle: v1Duration(0, appmesh.DurationUnitS), PerRequest: v1Duration(15000, appmesh.DurationUnitMs),
	}}
	spec.Listeners[0].ConnectionPool = &appmesh.VirtualNodeConnectionPool{
		Http: &appmesh.VirtualNodeHttpConnectionPool{MaxConnections: aws.Int64(100)},
	}
	spec.Listeners[0].OutlierDetection = &appmesh.OutlierDetection{
		BaseEjectionDuration: v1Duration(30, appmesh.DurationUnitS), Interval: v1Duration(10, appmesh.DurationUnitS),
		MaxEjectionPercent: aws.Int64(0), MaxServerErrors: aws.Int64(5),
	}
	chain := &appmesh.TlsValidationContextFileTrust{CertificateChain: aws.String("/keys/ca.pem")}
	validation := &appmesh.TlsValidationContext{Trust: &appmesh.TlsValidationContextTrust{File: chain}}
	tls := &appmesh.ClientPolicyTls{Enforce: aws.Bool(false), Ports: []*int64{}, Validation: validation}
	spec.BackendDefaults = &appmesh.BackendDefaults{ClientPolicy: &appmesh.ClientPolicy{Tls: tls}}
	for _, name := range []string{"z.invalid", "b.invalid"} {
		service := &appmesh.VirtualServiceBackend{VirtualServiceName: aws.String(name)}
		spec.Backends = append(spec.Backends, &appmesh.Backend{VirtualService: service})
	}
	file := &appmesh.FileAccessLog{Path: aws.String("/dev/stdout")}
	spec.Logging = &appmesh.Logging{AccessLog: &appmesh.AccessLog{File: file}}
	return spec
}

func v1Route(weight int64) *appmesh.RouteSpec {
	target := &appmesh.WeightedTarget{VirtualNode: aws.String("node"), Weight: aws.Int64(weight)}
	header := func(name string, match *appmesh.HeaderMatchMethod) *appmesh.HttpRouteHeader {
		return &appmesh.HttpRouteHeader{Name: aws.String(name), Invert: aws.Bool(false), Match: match}
	}
	matched := &appmesh.MatchRange{Start: aws.Int64(0), End: aws.Int64(5)}
	return &appmesh.RouteSpec{
		Priority: aws.Int64(0),
		HttpRoute: &appmesh.HttpRoute{
			Action: &appmesh.HttpRouteAction{WeightedTargets: []*appmesh.WeightedTarget{target}},
			Match: &appmesh.HttpRouteMatch{
				Prefix: aws.String("/"), Method: aws.String(appmesh.HttpMethodGet),
				Headers: []*appmesh.HttpRouteHeader{
					header("z", &appmesh.HeaderMatchMethod{Exact: aws.String("x")}),
					header("a", &appmesh.HeaderMatchMethod{Range: matched}),
					header("present", nil),
				},
			},
			RetryPolicy: &appmesh.HttpRetryPolicy{
				MaxRetries: aws.Int64(0), PerRetryTimeout: v1Duration(2, appmesh.DurationUnitS),
				HttpRetryEvents: aws.StringSlice([]string{"server-error", "client-error"}),
			},
		},
	}
}

func v1Router(port int64) *appmesh.VirtualRouterSpec {
	mapping := &appmesh.PortMapping{Port: aws.Int64(port), Protocol: aws.String(appmesh.PortProtocolHttp)}
	return &appmesh.VirtualRouterSpec{Listeners: []*appmesh.VirtualRouterListener{{PortMapping: mapping}}}
}

func v1Gateway(port int64) *appmesh.VirtualGatewaySpec {
	protocol := aws.String(appmesh.VirtualGatewayPortProtocolHttp)
	return &appmesh.VirtualGatewaySpec{Listeners: []*appmesh.VirtualGatewayListener{{
		PortMapping: &appmesh.VirtualGatewayPortMapping{Port: aws.Int64(port), Protocol: protocol},
		HealthCheck: &appmesh.VirtualGatewayHealthCheckPolicy{
			HealthyThreshold: aws.Int64(2), UnhealthyThreshold: aws.Int64(3),
			IntervalMillis: aws.Int64(5000), TimeoutMillis: aws.Int64(2000), Protocol: protocol,
		},
	}}}
}

func v1GatewayRoute(prefix string) *appmesh.GatewayRouteSpec {
	service := &appmesh.GatewayRouteVirtualService{VirtualServiceName: aws.String("service.invalid")}
	return &appmesh.GatewayRouteSpec{HttpRoute: &appmesh.HttpGatewayRoute{
		Action: &appmesh.HttpGatewayRouteAction{Target: &appmesh.GatewayRouteTarget{VirtualService: service}},
		Match:  &appmesh.HttpGatewayRouteMatch{Prefix: aws.String(prefix)},
	}}
}

// Every kind, in the order in which they can be created.
func v1Mesh(mesh string) []resource {
	egress := func(kind string) *appmesh.MeshSpec {
		return &appmesh.MeshSpec{EgressFilter: &appmesh.EgressFilter{Type: aws.String(kind)}}
	}
	byRouter := &appmesh.VirtualServiceProvider{
		VirtualRouter: &appmesh.VirtualRouterServiceProvider{VirtualRouterName: aws.String("router")},
	}
	byNode := &appmesh.VirtualServiceProvider{
		VirtualNode: &appmesh.VirtualNodeServiceProvider{VirtualNodeName: aws.String("node")},
	}
	grown := v1FullNode()
	grown.Backends = slices.Clone(grown.Backends)
	slices.Reverse(grown.Backends)
	return everyKind(mesh, specs{
		mesh:           [2]any{egress(appmesh.EgressFilterTypeAllowAll), egress(appmesh.EgressFilterTypeDropAll)},
		node:           [2]any{v1FullNode(), grown},
		router:         [2]any{v1Router(8080), v1Router(9090)},
		route:          [2]any{v1Route(0), v1Route(7)},
		service:        [2]any{&appmesh.VirtualServiceSpec{Provider: byRouter}, &appmesh.VirtualServiceSpec{Provider: byNode}},
		virtualGateway: [2]any{v1Gateway(8088), v1Gateway(8089)},
		gatewayRoute:   [2]any{v1GatewayRoute("/a"), v1GatewayRoute("/b")},
	})
}

// The controller's own comparison: an empty list is none, and the service fills in the port of a health check.
func TestTheFirstSDKReadsWhatItSent(t *testing.T) {
	lifecycle(t, v1(v1Client(t, secret)), v1Mesh("v1"), v1Is[*appmesh.NotFoundException],
		cmpopts.EquateEmpty(),
		cmpopts.IgnoreFields(appmesh.HealthCheckPolicy{}, "Port"),
		cmpopts.IgnoreFields(appmesh.VirtualGatewayHealthCheckPolicy{}, "Port"))
}

func TestTheFirstSDKPages(t *testing.T) {
	client := v1Client(t, secret)
	names := pagedNodes(t, v1(client), "v1-pages", v1Node("a.invalid", appmesh.PortProtocolTcp, 9000))
	var found []string
	pages := 0
	input := &appmesh.ListVirtualNodesInput{MeshName: aws.String("v1-pages"), Limit: aws.Int64(2)}
	err := client.ListVirtualNodesPages(input, func(page *appmesh.ListVirtualNodesOutput, _ bool) bool {
		pages++
		for _, node := range page.VirtualNodes {
			found = append(found, *node.VirtualNodeName)
		}
		return true
	})
	if err != nil || pages != 3 || !slices.Equal(found, names) {
		t.Errorf("%d pages with %v: %v", pages, found, err)
	}
}

func TestTheFirstSDKKnowsEveryError(t *testing.T) {
	s := v1(v1Client(t, secret))
	nobody := &appmesh.VirtualNodeServiceProvider{VirtualNodeName: aws.String("nobody")}
	refused(t, s, "v1-errors", refusals{
		node:       v1Node("a.invalid", appmesh.PortProtocolHttp, 8080),
		other:      v1Node("b.invalid", appmesh.PortProtocolHttp, 8080),
		gateway:    v1Gateway(8088),
		dangling:   &appmesh.VirtualServiceSpec{Provider: &appmesh.VirtualServiceProvider{VirtualNode: nobody}},
		notFound:   v1Is[*appmesh.NotFoundException],
		conflict:   v1Is[*appmesh.ConflictException],
		inUse:      v1Is[*appmesh.ResourceInUseException],
		badRequest: v1Is[*appmesh.BadRequestException],
		limit:      v1Is[*appmesh.LimitExceededException],
	})
	failure{"ListMeshes", nil, func(err error) bool {
		var coded awserr.Error
		return errors.As(err, &coded) && coded.Code() == "InvalidSignatureException"
	}, "InvalidSignatureException"}.check(t, v1(v1Client(t, "je7MtGbClwBF2Zp9Utkh3yCo8nvb")))
}
