// Fleet-peer serves the benchmark's mesh with go-control-plane, as a careful user would: one snapshot for each group of
// sidecars that have the same services, kept in one snapshot cache, and on a change of endpoints a new version of the
// endpoints only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
)

// Streams on one connection; sidecars have one each, so this is never reached.
const maxStreams = 1_000_000

func main() {
	addr := flag.String("addr", "127.0.0.1:18000", "ADS address")
	admin := flag.String("admin", "127.0.0.1:18001", "address of the HTTP trigger, GET /bump?service=K")
	services := flag.Int("services", 1000, "services in the mesh")
	backends := flag.Int("backends", 20, "services that each sidecar has")
	flag.Parse()
	if err := serve(*addr, *admin, *services, *backends); err != nil {
		log.Fatal("fleet-peer: ", err)
	}
}

func serve(addr, admin string, services, backends int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	mesh, err := newMesh(ctx, services, backends)
	if err != nil {
		return err
	}
	ads := grpc.NewServer(grpc.MaxConcurrentStreams(maxStreams))
	handler := server.NewServer(ctx, mesh.cache, nil)
	discovery.RegisterAggregatedDiscoveryServiceServer(ads, handler)
	adsListener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	trigger := &http.Server{Addr: admin, Handler: bumps(mesh)}
	failed := make(chan error, 2)
	go func() { failed <- trigger.ListenAndServe() }()
	go func() { failed <- ads.Serve(adsListener) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	ads.Stop()
	return errors.Join(err, trigger.Close())
}

// bumps answers GET /bump?service=K by changing an endpoint of the service.
func bumps(mesh *mesh) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bump", func(answer http.ResponseWriter, request *http.Request) {
		service, err := strconv.Atoi(request.URL.Query().Get("service"))
		if err != nil || service < 0 || service >= mesh.services {
			http.Error(answer, "service must be the number of one", http.StatusBadRequest)
			return
		}
		if err := mesh.bump(request.Context(), service); err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(answer, "{}")
	})
	return mux
}
