"""A client of App Mesh's API: AWS's own SDK, whose description of the API every answer is held to."""

import inspect
import json
import sys

import boto3
from botocore.config import Config

CALLED = set()
OWNER = "000000000000"


def main():
    scenario, url = sys.argv[1:]
    SCENARIOS[scenario](connect(url))


def connect(url, region="us-east-1"):
    client = boto3.client(
        "appmesh",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )
    client.meta.events.register("after-call.app-mesh", check_answer)
    return client


def check_answer(http_response, parsed, model, **_):
    """Holds the body of a good answer to the service's description."""
    CALLED.add(model.name)
    assert parsed["ResponseMetadata"]["RequestId"], parsed
    if http_response.status_code >= 300:
        known = {error.name for error in model.error_shapes}
        assert parsed["Error"]["Code"] in known, (model.name, parsed)
        return
    assert http_response.status_code == 200, http_response.status_code
    shape = model.output_shape
    body = json.loads(http_response.content)
    payload = shape.serialization.get("payload")
    if payload:
        shape = shape.members[payload]
    check_value(shape, body, model.name)


def check_value(shape, value, path):
    kind = shape.type_name
    if kind == "structure":
        assert isinstance(value, dict), (path, value)
        unknown = set(value) - set(shape.members)
        missing = set(shape.required_members) - set(value)
        assert not unknown and not missing, (path, unknown, missing)
        for name, member in value.items():
            check_value(shape.members[name], member, f"{path}.{name}")
    elif kind == "list":
        assert isinstance(value, list), (path, value)
        for item in value:
            check_value(shape.member, item, f"{path}[]")
    elif kind == "string":
        assert isinstance(value, str), (path, value)
        assert not shape.enum or value in shape.enum, (path, value)
    elif kind == "boolean":
        assert isinstance(value, bool), (path, value)
    elif kind == "timestamp":
        assert isinstance(value, (int, float)) and 1.7e9 < value < 5e9, (path, value)
    else:
        assert kind in ("integer", "long"), (path, kind)
        assert isinstance(value, int) and not isinstance(value, bool), (path, value)


def raises(exception, call, *words, **arguments):
    try:
        call(**arguments)
    except exception as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in: {error}"
        return error
    raise AssertionError(f"no {exception.__name__}")


def listener(port, **more):
    return {"portMapping": {"port": port, "protocol": "http"}, **more}


NODE = {
    "serviceDiscovery": {"dns": {"hostname": "a.invalid"}},
    "listeners": [
        listener(
            8080,
            healthCheck={
                "protocol": "http",
                "path": "/ping",
                "healthyThreshold": 2,
                "unhealthyThreshold": 3,
                "timeoutMillis": 2000,
                "intervalMillis": 5000,
            },
            timeout={"http": {"idle": {"unit": "s"}, "perRequest": {"unit": "ms", "value": 0}}},
        )
    ],
    "backends": [{"virtualService": {"virtualServiceName": "later.invalid"}}],
    "logging": {"accessLog": {"file": {"path": "/dev/stdout"}}},
}
TARGET = {"weightedTargets": [{"virtualNode": "node", "weight": 1}]}
ROUTE = {"priority": 0, "httpRoute": {"match": {"prefix": "/"}, "action": TARGET}}
GATEWAY_ROUTE = {
    "httpRoute": {
        "match": {"prefix": "/"},
        "action": {"target": {"virtualService": {"virtualServiceName": "service.invalid"}}},
    }
}

# Of each kind: the operation's end, its names, what it is answered in, a spec, and another. Parents first.
KINDS = [
    ("mesh", {"meshName": "mesh"}, {}, {"egressFilter": {"type": "ALLOW_ALL"}}),
    (
        "virtual_node",
        {"meshName": "mesh", "virtualNodeName": "node"},
        NODE,
        {**NODE, "backends": []},
    ),
    (
        "virtual_router",
        {"meshName": "mesh", "virtualRouterName": "router"},
        {"listeners": [listener(8080)]},
        {"listeners": [listener(8081)]},
    ),
    (
        "route",
        {"meshName": "mesh", "virtualRouterName": "router", "routeName": "route"},
        ROUTE,
        {**ROUTE, "priority": 7},
    ),
    (
        "virtual_service",
        {"meshName": "mesh", "virtualServiceName": "service.invalid"},
        {"provider": {"virtualRouter": {"virtualRouterName": "router"}}},
        {"provider": {"virtualNode": {"virtualNodeName": "node"}}},
    ),
    (
        "virtual_gateway",
        {"meshName": "mesh", "virtualGatewayName": "gateway"},
        {"listeners": [listener(8080)]},
        {"listeners": [listener(8081)]},
    ),
    (
        "gateway_route",
        {"meshName": "mesh", "virtualGatewayName": "gateway", "gatewayRouteName": "groute"},
        GATEWAY_ROUTE,
        {**GATEWAY_ROUTE, "priority": 3},
    ),
]


def member(kind):
    first, *rest = kind.split("_")
    return first + "".join(part.capitalize() for part in rest)


def plural(kind):
    return member(kind) + ("es" if kind == "mesh" else "s")


def operation(client, verb, kind):
    return getattr(client, f"{verb}_{kind}")


def lister(client, kind):
    return getattr(client, f"list_{kind}es" if kind == "mesh" else f"list_{kind}s")


def within(names):
    """The names of what a resource stands in."""
    return dict(list(names.items())[:-1])


def filled(spec):
    """With the one default that the service fills in."""
    spec = json.loads(json.dumps(spec))
    for one in spec.get("listeners", []):
        if "healthCheck" in one:
            one["healthCheck"].setdefault("port", one["portMapping"]["port"])
    return spec


def create_all(client):
    for kind, names, spec, _ in KINDS:
        operation(client, "create", kind)(**names, spec=spec)


def delete_all(client):
    # The service goes before its router, and what is in something before that.
    order = ["gateway_route", "virtual_gateway", "virtual_service", "route"]
    order += ["virtual_router", "virtual_node", "mesh"]
    names = {kind: names for kind, names, *_ in KINDS}
    return {kind: operation(client, "delete", kind)(**names[kind])[member(kind)] for kind in order}


def every_operation(client):
    arns = set()
    for kind, names, spec, other in KINDS:
        created = operation(client, "create", kind)(**names, spec=spec)[member(kind)]
        assert {name: created[name] for name in names} == names, created
        assert created["spec"] == filled(spec), (kind, created["spec"])
        assert created["metadata"]["version"] == 1
        assert created["metadata"]["resourceOwner"] == created["metadata"]["meshOwner"] == OWNER
        assert created["status"] == {"status": "ACTIVE"}
        arns.add(created["metadata"]["arn"])

        again = operation(client, "create", kind)(**names, spec=spec)[member(kind)]
        assert again == created, "the same create again is the same resource"
        described = operation(client, "describe", kind)(**names)[member(kind)]
        assert described == created, (described, created)

        (reference,) = lister(client, kind)(**within(names))[plural(kind)]
        metadata = created["metadata"]
        assert reference == {
            **{name: value for name, value in metadata.items() if name != "uid"},
            **names,
        }, reference

        if kind not in ("virtual_router", "virtual_gateway"):
            updated = operation(client, "update", kind)(**names, spec=other)[member(kind)]
            assert updated["spec"] == filled(other), updated
            assert updated["metadata"]["version"] == 2
            assert updated["metadata"]["uid"] == metadata["uid"]
            assert updated["metadata"]["createdAt"] == metadata["createdAt"]
            assert updated["metadata"]["lastUpdatedAt"] >= metadata["lastUpdatedAt"]
            same = operation(client, "update", kind)(**names, spec=other)[member(kind)]
            assert same == updated, "the same update again changes nothing"

        arn = metadata["arn"]
        client.tag_resource(resourceArn=arn, tags=[{"key": "kind", "value": kind}])
        tags = client.list_tags_for_resource(resourceArn=arn)["tags"]
        assert tags == [{"key": "kind", "value": kind}], tags
        client.untag_resource(resourceArn=arn, tagKeys=["kind", "other"])
        assert client.list_tags_for_resource(resourceArn=arn)["tags"] == []
    # They have something in them, so that they show what an update must keep to.
    for kind, names, _, other in KINDS:
        if kind in ("virtual_router", "virtual_gateway"):
            updated = operation(client, "update", kind)(**names, spec=other)[member(kind)]
            assert updated["spec"] == other and updated["metadata"]["version"] == 2
    assert len(arns) == len(KINDS)
    for kind, deleted in delete_all(client).items():
        assert deleted["status"] == {"status": "DELETED"}, deleted
        assert deleted["metadata"]["version"] == 3, deleted
    assert client.list_meshes()["meshes"] == []
    described = set(client.meta.service_model.operation_names)
    assert len(described) == 38 and CALLED == described, described - CALLED


def paginators(client):
    create_all(client)
    for kind, names, spec, _ in KINDS:
        *_, name = names
        count = 7
        for number in range(count - 1):
            operation(client, "create", kind)(**{**names, name: f"more-{number}"}, spec=spec)
        operation_name = lister(client, kind).__name__
        paginator = client.get_paginator(operation_name)
        for size in (1, 3, count, 100):
            pages = list(paginator.paginate(**within(names), PaginationConfig={"PageSize": size}))
            assert len(pages) == -(-count // size), (kind, size, len(pages))
            found = [one[name] for page in pages for one in page[plural(kind)]]
            assert found == sorted(found) and len(set(found)) == count, found
    arn = client.describe_mesh(meshName="mesh")["mesh"]["metadata"]["arn"]
    wanted = [{"key": f"key-{number:02}", "value": ""} for number in range(50)]
    client.tag_resource(resourceArn=arn, tags=wanted)
    paginator = client.get_paginator("list_tags_for_resource")
    for size in (1, 7, 50):
        pages = paginator.paginate(resourceArn=arn, PaginationConfig={"PageSize": size})
        assert [tag for page in pages for tag in page["tags"]] == wanted


def exceptions(client):
    known = client.exceptions
    create_all(client)
    node = {"meshName": "mesh", "virtualNodeName": "node"}
    text = f"VirtualNode with name nobody is not present under mesh mesh for account {OWNER}"
    nobody = {**node, "virtualNodeName": "nobody"}
    raises(known.NotFoundException, client.describe_virtual_node, text, **nobody)
    raises(known.NotFoundException, client.update_virtual_node, text, **nobody, spec=NODE)
    raises(known.NotFoundException, client.delete_virtual_node, text, **nobody)
    text = f"Mesh with name nowhere is not present for account {OWNER}"
    for call in (client.list_virtual_nodes, client.list_virtual_services):
        raises(known.NotFoundException, call, text, meshName="nowhere")
    nowhere = {"meshName": "nowhere", "virtualNodeName": "node", "spec": NODE}
    raises(known.NotFoundException, client.create_virtual_node, text, **nowhere)
    router = {"meshName": "mesh", "virtualRouterName": "nowhere"}
    raises(known.NotFoundException, client.list_routes, "VirtualRouter", **router)
    route = {**router, "routeName": "route", "spec": ROUTE}
    raises(known.NotFoundException, client.create_route, "VirtualRouter", **route)

    raises(known.ConflictException, client.create_virtual_node, "node", **node, spec={})
    for kind, names, *_ in KINDS:
        if kind not in ("route", "gateway_route"):
            raises(known.ResourceInUseException, operation(client, "delete", kind), **names)
    gateway = {"meshName": "mesh", "virtualGatewayName": "second"}
    spec = {"listeners": [listener(8080)]}
    quota = "virtual-gateways-per-mesh"
    raises(known.LimitExceededException, client.create_virtual_gateway, quota, **gateway, spec=spec)

    bad = json.loads(json.dumps(NODE))
    bad["listeners"][0]["portMapping"]["port"] = 0
    words = ("spec.listeners[0].portMapping.port", "from 1 to 65535")
    raises(known.BadRequestException, client.update_virtual_node, *words, **node, spec=bad)
    for limit in (0, 101):
        raises(known.BadRequestException, client.list_meshes, "limit", limit=limit)
    raises(known.BadRequestException, client.list_meshes, "nextToken", nextToken="x")
    raises(known.BadRequestException, client.list_tags_for_resource, resourceArn="x")
    unknown = {**node, "spec": NODE, "tags": [{"key": "aws:x", "value": ""}]}
    raises(known.BadRequestException, client.create_virtual_node, "aws:", **unknown)


def tags(client):
    created = client.create_mesh(meshName="mesh", tags=[{"key": "a", "value": "1"}, {"key": "b"}])
    arn = created["mesh"]["metadata"]["arn"]

    def listed():
        answer = client.list_tags_for_resource(resourceArn=arn)["tags"]
        return {tag["key"]: tag["value"] for tag in answer}

    assert listed() == {"a": "1", "b": ""}, listed()
    client.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}, {"key": "c", "value": "3"}])
    assert listed() == {"a": "1", "b": "2", "c": "3"}
    assert client.describe_mesh(meshName="mesh")["mesh"]["metadata"]["version"] == 1
    client.untag_resource(resourceArn=arn, tagKeys=["a", "never"])
    assert listed() == {"b": "2", "c": "3"}
    many = [{"key": str(number), "value": ""} for number in range(49)]
    too_many = client.exceptions.TooManyTagsException
    raises(too_many, client.tag_resource, "50", resourceArn=arn, tags=many)
    assert listed() == {"b": "2", "c": "3"}, "none of them was applied"
    client.tag_resource(resourceArn=arn, tags=many[:48])
    raises(too_many, client.tag_resource, "50", resourceArn=arn, tags=many * 2)
    # Other tags are another resource.
    conflict = client.exceptions.ConflictException
    raises(conflict, client.create_mesh, meshName="mesh", tags=[])
    client.delete_mesh(meshName="mesh")
    not_found = client.exceptions.NotFoundException
    raises(not_found, client.list_tags_for_resource, resourceArn=arn)
    raises(not_found, client.tag_resource, resourceArn=arn, tags=[])
    client.create_mesh(meshName="mesh")
    assert listed() == {}, "tags went with the resource"
    other = arn.replace(OWNER, "123456789012")
    raises(not_found, client.list_tags_for_resource, "123456789012", resourceArn=other)
    other = arn.replace("us-east-1", "eu-west-1")
    raises(not_found, client.list_tags_for_resource, "eu-west-1", resourceArn=other)


def client_tokens(client):
    conflict = client.exceptions.ConflictException
    first = client.create_mesh(meshName="mesh", clientToken="one")["mesh"]
    assert client.create_mesh(meshName="mesh", clientToken="one")["mesh"] == first
    raises(conflict, client.create_mesh, "one", meshName="other", clientToken="one")
    spec = {"egressFilter": {"type": "ALLOW_ALL"}}
    raises(conflict, client.update_mesh, "one", meshName="mesh", spec=spec, clientToken="one")
    updated = client.update_mesh(meshName="mesh", spec=spec, clientToken="two")["mesh"]
    client.update_mesh(meshName="mesh", spec={}, clientToken="three")
    # What was answered then is answered again, and undoes nothing.
    again = client.update_mesh(meshName="mesh", spec=spec, clientToken="two")["mesh"]
    assert again == updated, (again, updated)
    assert client.describe_mesh(meshName="mesh")["mesh"]["spec"] == {}
    bad = client.exceptions.BadRequestException
    raises(bad, client.create_mesh, "clientToken", meshName="x", clientToken="a" * 37)
    raises(bad, client.create_mesh, "clientToken", meshName="x", clientToken="a b")


def mesh_owner(client):
    """Of account 123456789012 in eu-west-1."""
    own, other = "123456789012", "210987654321"
    mesh = client.create_mesh(meshName="mesh")["mesh"]["metadata"]
    assert mesh["arn"] == f"arn:aws:appmesh:eu-west-1:{own}:mesh/mesh", mesh
    assert mesh["meshOwner"] == mesh["resourceOwner"] == own
    names = {"meshName": "mesh", "virtualNodeName": "node"}
    client.create_virtual_node(**names, spec=NODE, meshOwner=own)
    client.describe_virtual_node(**names, meshOwner=own)
    client.describe_mesh(meshName="mesh", meshOwner=own)
    not_found = client.exceptions.NotFoundException
    text = f"VirtualNode with name node is not present under mesh mesh for account {other}"
    theirs = {**names, "meshOwner": other}
    raises(not_found, client.describe_virtual_node, text, **theirs)
    raises(not_found, client.update_virtual_node, text, **theirs, spec=NODE)
    raises(not_found, client.delete_virtual_node, text, **theirs)
    raises(not_found, client.create_virtual_node, text, **theirs, spec=NODE)
    text = f"Mesh with name mesh is not present for account {other}"
    raises(not_found, client.describe_mesh, text, meshName="mesh", meshOwner=other)
    raises(not_found, client.list_virtual_nodes, text, meshName="mesh", meshOwner=other)
    bad = client.exceptions.BadRequestException
    raises(bad, client.list_virtual_nodes, "meshOwner", meshName="mesh", meshOwner="me")
    assert len(client.list_virtual_nodes(meshName="mesh", meshOwner=own)["virtualNodes"]) == 1


SCENARIOS = {
    name: value
    for name, value in list(globals().items())
    if inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["client"]
}

if __name__ == "__main__":
    main()
