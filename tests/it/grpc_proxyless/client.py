"""A gRPC client without a proxy: each line of its input is a JSON object that says what to call, each of its output what
came of it. Channels stay open from one line to the next."""

import json
import sys
import time
from collections import Counter

import grpc

channels = {}


def call(job):
    target = job["target"]
    if target not in channels:
        channels[target] = grpc.insecure_channel(target, options=job.get("options", []))
    method = channels[target].unary_unary(job["method"])
    answers, errors = Counter(), Counter()
    began = time.monotonic()
    for _ in range(job["calls"]):
        try:
            metadata = job.get("metadata", [])
            name = method(b"", timeout=job["timeout"], metadata=metadata)
            answers[name.decode()] += 1
        except grpc.RpcError as error:
            errors[f"{error.code().name}: {error.details()}"] += 1
    took = time.monotonic() - began
    return {"answers": answers, "errors": errors, "took": took}


for line in sys.stdin:
    print(json.dumps(call(json.loads(line))), flush=True)
