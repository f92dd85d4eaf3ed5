package clients

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/appmesh"
	"github.com/aws/aws-sdk-go-v2/service/appmesh/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/document"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func v2Client(secret string) *appmesh.Client {
	keys := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secret}, nil
	})
	return appmesh.New(appmesh.Options{
		BaseEndpoint: aws.String(apiURL),
		Region:       region,
		Credentials:  keys,
		Retryer:      aws.NopRetryer{},
	})
}

func v2Is[E error](err error) bool {
	var wanted E
	return errors.As(err, &wanted)
}

// Terraform's provider leaves out the value of a duration of zero.
var v2Zero = &types.Duration{Unit: types.DurationUnitS}

func v2Node(hostname string, protocol types.PortProtocol) *types.VirtualNodeSpec {
	mapping := &types.PortMapping{Port: aws.Int32(8080), Protocol: protocol}
	dns := types.DnsServiceDiscovery{Hostname: aws.String(hostname)}
	return &types.VirtualNodeSpec{
		Listeners:        []types.Listener{{PortMapping: mapping}},
		ServiceDiscovery: &types.ServiceDiscoveryMemberDns{Value: dns},
	}
}

func v2FullNode(timeout *types.Duration) *types.VirtualNodeSpec {
	spec := v2Node("a.invalid", types.PortProtocolGrpc)
	spec.Listeners[0].HealthCheck = &types.HealthCheckPolicy{
		HealthyThreshold: aws.Int32(2), UnhealthyThreshold: aws.Int32(3),
		IntervalMillis: aws.Int64(5000), TimeoutMillis: aws.Int64(2000),
		Protocol: types.PortProtocolGrpc,
	}
	grpc := types.GrpcTimeout{Idle: timeout, PerRequest: timeout}
	spec.Listeners[0].Timeout = &types.ListenerTimeoutMemberGrpc{Value: grpc}
	spec.Listeners[0].OutlierDetection = &types.OutlierDetection{
		BaseEjectionDuration: timeout, Interval: &types.Duration{Unit: types.DurationUnitS, Value: aws.Int64(10)},
		MaxEjectionPercent: aws.Int32(0), MaxServerErrors: aws.Int64(5),
	}
	trust := types.TlsValidationContextFileTrust{CertificateChain: aws.String("/keys/ca.pem")}
	service := types.VirtualServiceBackend{
		VirtualServiceName: aws.String("b.invalid"),
		// `enforce` is always sent.
		ClientPolicy: &types.ClientPolicy{Tls: &types.ClientPolicyTls{
			Enforce:    aws.Bool(true),
			Validation: &types.TlsValidationContext{Trust: &types.TlsValidationContextTrustMemberFile{Value: trust}},
		}},
	}
	spec.Backends = []types.Backend{&types.BackendMemberVirtualService{Value: service}}
	return spec
}

// An empty block is an empty object, and a weight of zero is sent.
func v2Route(timeout *types.Duration, weight int32) *types.RouteSpec {
	targets := []types.WeightedTarget{{VirtualNode: aws.String("node"), Weight: weight}}
	return &types.RouteSpec{GrpcRoute: &types.GrpcRoute{
		Action:  &types.GrpcRouteAction{WeightedTargets: targets},
		Match:   &types.GrpcRouteMatch{},
		Timeout: &types.GrpcTimeout{Idle: timeout, PerRequest: timeout},
		RetryPolicy: &types.GrpcRetryPolicy{
			MaxRetries: aws.Int64(0), PerRetryTimeout: timeout,
			GrpcRetryEvents: []types.GrpcRetryPolicyEvent{types.GrpcRetryPolicyEventUnavailable},
		},
	}}
}

func v2Router(port int32) *types.VirtualRouterSpec {
	mapping := &types.PortMapping{Port: aws.Int32(port), Protocol: types.PortProtocolGrpc}
	return &types.VirtualRouterSpec{Listeners: []types.VirtualRouterListener{{PortMapping: mapping}}}
}

func v2Gateway(port int32) *types.VirtualGatewaySpec {
	protocol := types.VirtualGatewayPortProtocolHttp
	return &types.VirtualGatewaySpec{Listeners: []types.VirtualGatewayListener{{
		PortMapping: &types.VirtualGatewayPortMapping{Port: aws.Int32(port), Protocol: protocol},
		HealthCheck: &types.VirtualGatewayHealthCheckPolicy{
			HealthyThreshold: aws.Int32(2), UnhealthyThreshold: aws.Int32(3),
			IntervalMillis: aws.Int64(5000), TimeoutMillis: aws.Int64(2000), Protocol: protocol,
		},
	}}}
}

func v2GatewayRoute(method types.HttpMethod) *types.GatewayRouteSpec {
	service := &types.GatewayRouteVirtualService{VirtualServiceName: aws.String("service.invalid")}
	header := types.HttpGatewayRouteHeader{
		Name: aws.String("h"), Invert: aws.Bool(false),
		Match: &types.HeaderMatchMethodMemberRange{Value: types.MatchRange{Start: aws.Int64(0), End: aws.Int64(5)}},
	}
	return &types.GatewayRouteSpec{HttpRoute: &types.HttpGatewayRoute{
		Action: &types.HttpGatewayRouteAction{Target: &types.GatewayRouteTarget{VirtualService: service}},
		Match: &types.HttpGatewayRouteMatch{
			Prefix: aws.String("/"), Method: method, Headers: []types.HttpGatewayRouteHeader{header},
		},
	}}
}

// Every kind, in the order in which they can be created.
func v2Mesh(mesh string) []resource {
	byRouter := &types.VirtualServiceProviderMemberVirtualRouter{
		Value: types.VirtualRouterServiceProvider{VirtualRouterName: aws.String("router")},
	}
	byNode := &types.VirtualServiceProviderMemberVirtualNode{
		Value: types.VirtualNodeServiceProvider{VirtualNodeName: aws.String("node")},
	}
	second := &types.Duration{Unit: types.DurationUnitS, Value: aws.Int64(1)}
	dropAll := &types.MeshSpec{EgressFilter: &types.EgressFilter{Type: types.EgressFilterTypeDropAll}}
	return everyKind(mesh, specs{
		mesh:           [2]any{&types.MeshSpec{}, dropAll},
		node:           [2]any{v2FullNode(v2Zero), v2FullNode(second)},
		router:         [2]any{v2Router(8080), v2Router(9090)},
		route:          [2]any{v2Route(v2Zero, 0), v2Route(second, 1)},
		service:        [2]any{&types.VirtualServiceSpec{Provider: byRouter}, &types.VirtualServiceSpec{Provider: byNode}},
		virtualGateway: [2]any{v2Gateway(8088), v2Gateway(8089)},
		gatewayRoute:   [2]any{v2GatewayRoute(types.HttpMethodGet), v2GatewayRoute(types.HttpMethodPut)},
	})
}

// A value that was left out has to stay away, and one that was sent has to stay.
func TestTheSecondSDKReadsWhatItSent(t *testing.T) {
	lifecycle(t, v2(v2Client(secret)), v2Mesh("v2"), v2Is[*types.NotFoundException],
		cmpopts.IgnoreTypes(document.NoSerde{}),
		cmpopts.IgnoreFields(types.HealthCheckPolicy{}, "Port"),
		cmpopts.IgnoreFields(types.VirtualGatewayHealthCheckPolicy{}, "Port"))
}

func TestTheSecondSDKPages(t *testing.T) {
	client := v2Client(secret)
	names := pagedNodes(t, v2(client), "v2-pages", v2Node("a.invalid", types.PortProtocolTcp))
	input := &appmesh.ListVirtualNodesInput{MeshName: aws.String("v2-pages"), Limit: aws.Int32(2)}
	paginator := appmesh.NewListVirtualNodesPaginator(client, input)
	var found []string
	pages := 0
	for paginator.HasMorePages() {
		page, err := paginator.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, node := range page.VirtualNodes {
			found = append(found, *node.VirtualNodeName)
		}
	}
	if pages != 3 || !slices.Equal(found, names) {
		t.Errorf("%d pages with %v", pages, found)
	}
}

func TestTheSecondSDKKnowsEveryError(t *testing.T) {
	s := v2(v2Client(secret))
	nobody := types.VirtualNodeServiceProvider{VirtualNodeName: aws.String("nobody")}
	refused(t, s, "v2-errors", refusals{
		node:       v2Node("a.invalid", types.PortProtocolHttp),
		other:      v2Node("b.invalid", types.PortProtocolHttp),
		gateway:    v2Gateway(8088),
		dangling:   &types.VirtualServiceSpec{Provider: &types.VirtualServiceProviderMemberVirtualNode{Value: nobody}},
		notFound:   v2Is[*types.NotFoundException],
		conflict:   v2Is[*types.ConflictException],
		inUse:      v2Is[*types.ResourceInUseException],
		badRequest: v2Is[*types.BadRequestException],
		limit:      v2Is[*types.LimitExceededException],
	})
	failure{"ListMeshes", nil, func(err error) bool {
		var coded smithy.APIError
		return errors.As(err, &coded) && coded.ErrorCode() == "InvalidSignatureException"
	}, "InvalidSignatureException"}.check(t, v2(v2Client("je7MtGbClwBF2Zp9Utkh3yCo8nvb")))
}
