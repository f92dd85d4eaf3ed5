"""A gRPC server that answers every method with who it is: server.py ADDRESS NAME"""

import sys
import threading
from concurrent import futures

import grpc


class Everything(grpc.GenericRpcHandler):
    def __init__(self, name):
        self.name = name

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.answer(details.method, context)
        )

    def answer(self, method, context):
        metadata = dict(context.invocation_metadata())
        attempts = int(metadata.get("grpc-previous-rpc-attempts", 0))
        if method.endswith("/Flaky") and attempts == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "flaky at first")
        if method.endswith("/Internal") and attempts == 0:
            context.abort(grpc.StatusCode.INTERNAL, "broken at first")
        if method.endswith("/Slow"):
            gone = threading.Event()
            if context.add_callback(gone.set):
                gone.wait()
        return self.name.encode()


address, name = sys.argv[1:]
# A second server on a port must fail, not share it.
server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers([Everything(name)])
server.add_insecure_port(address)
server.start()
server.wait_for_termination()
