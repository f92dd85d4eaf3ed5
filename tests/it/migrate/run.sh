#!/bin/sh
# Service a and its sidecar.
docker run --detach --name service-a -p 8080:8080 "registry.example.com/service-a:$TAG"
docker run --detach --name envoy --network container:service-a \
  -u 1337 \
  -e APPMESH_RESOURCE_ARN=mesh/appMesh/virtualNode/serviceANode \
  -e ENVOY_LOG_LEVEL=warning \
  --health-cmd 'curl -s http://localhost:9901/server_info | grep state | grep -q LIVE' \
  840364872350.dkr.ecr.us-west-2.amazonaws.com/aws-appmesh-envoy:v1.29.12.1-prod
