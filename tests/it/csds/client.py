"""Asks the client status service by both of its methods, and prints what each says: client.py ADDRESS REQUEST-AS-JSON"""

import json
import sys

import grpc
from envoy.admin.v3 import config_dump_shared_pb2 as shared
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from google.protobuf import json_format


def resource(config):
    said = {
        "type": config.type_url.rsplit(".", 1)[-1],
        "name": config.name,
        "version": config.version_info,
        "bytes": len(config.xds_config.value),
        "status": csds_pb2.ConfigStatus.Name(config.config_status),
        "client": shared.ClientResourceStatus.Name(config.client_status),
        "error": config.error_state.details,
    }
    return said


def said(call):
    try:
        response = call()
    except grpc.RpcError as error:
        return {"error": f"{error.code().name}: {error.details()}"}
    clients = [
        {
            "node": client.node.id,
            "agent": client.node.user_agent_name,
            "resources": [resource(config) for config in client.generic_xds_configs],
        }
        for client in response.config
    ]
    return {"clients": clients}


address, request = sys.argv[1:]
request = json_format.Parse(request, csds_pb2.ClientStatusRequest())
stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(grpc.insecure_channel(address))
fetched = said(lambda: stub.FetchClientStatus(request, timeout=10))
streamed = said(lambda: next(stub.StreamClientStatus(iter([request]), timeout=10)))
print(json.dumps({"fetched": fetched, "streamed": streamed}))
