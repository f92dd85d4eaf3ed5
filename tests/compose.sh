#!/usr/bin/env bash
# Tries docker-compose.yml out: brings the mesh up, sends requests through it, loses a sidecar while it does, asks Prometheus
# who is up, replaces what was lost, adds the profiles `redirect` and `mirror`, moves a weight at one site and sees it at both,
# takes the first site's control plane away from under the second, and takes everything down. Needs an engine, Compose (`docker
# compose`, or `docker-compose` 1.29) and curl; touches no mesh that runs already. Exit code 0 if all was as it should be.
#
#     tests/compose.sh                        with the images built of what is here
#     BUILD=no tests/compose.sh               with the images `outrigger` and `outrigger-capture` that are there
#     COMPOSE=docker-compose tests/compose.sh with that Compose
#     KEEP=1 tests/compose.sh                 leaves everything running, to look at
set -euo pipefail
cd "$(dirname "$0")/.."

# How long the mesh may take to come up, and to settle after a change.
readonly UP_WITHIN=180 SETTLED_WITHIN=60
# Ports that are free, so that a mesh of the user's own goes on.
export OUTRIGGER_PORT=0 SERVICE_A_PORT=0 SERVICE_A_REDIRECT_PORT=0 STANDBY_SERVICE_A_PORT=0 PROMETHEUS_PORT=0

say() { printf '== %s\n' "$*"; }

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

find_compose() {
    if [ -n "${COMPOSE:-}" ]; then echo "$COMPOSE"
    elif docker compose version >/dev/null 2>&1; then echo "docker compose"
    elif command -v docker-compose >/dev/null; then echo "docker-compose"
    else fail "there is neither \`docker compose\` nor \`docker-compose\`; install one of them"
    fi
}

compose() {
    # shellcheck disable=SC2086 # two words, maybe
    COMPOSE_PROFILES=$PROFILES $COMPOSE --project-name outrigger-check "$@"
}

# Runs until the command succeeds: within SECONDS DESCRIPTION COMMAND...
within() {
    local limit=$1 description=$2 start=$SECONDS
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $((SECONDS - start)) -lt "$limit" ] || fail "not within $limit s: $description"
        sleep 1
    done
    say "after $((SECONDS - start)) s: $description"
}

# Every container with its health, or with its exit code if it is one that ends: NAME STATE, one a line.
health() {
    local containers format='{{ .Name }} {{ with .State.Health }}{{ .Status }}{{ else }}{{ .State.Status }} {{ .State.ExitCode }}{{ end }}'
    containers=$(compose ps --all --quiet)
    # shellcheck disable=SC2086 # a list
    docker inspect --format "$format" $containers
}

all_healthy() { ! health | grep --invert-match --quiet --extended-regexp ' (healthy|exited 0)$'; }

# Has the service-a at $service_a call service-b COUNT times; prints who answered how often.
call() { curl --silent --show-error --fail "http://$service_a/call?to=service-b.local&n=$1"; }

# call COUNT, of which none may fail, and print it.
call_well() {
    local answer
    answer=$(call "$1") || fail "service-a does not answer at $service_a"
    echo "$answer"
    case $answer in
        *'"failed":0'*) ;;
        *) fail "requests from service-a to service-b were lost" ;;
    esac
}

# Of 100 calls, none failed and some were answered by NAME, or none was.
answered_by() { call 100 | grep '"failed":0' | grep --quiet "\"$1 "; }
not_answered_by() { call 100 | grep '"failed":0' | grep --invert-match --quiet "\"$1 "; }

# The same at the second site.
only_version_2() { call 100 | grep --quiet --extended-regexp '\{"standby-service-b v2 [^"]*":100\},"failed":0'; }
both_versions() { call 100 | grep '"failed":0' | grep '"standby-service-b v1 ' | grep --quiet '"standby-service-b v2 '; }
standby_is_well() { compose exec -T standby outrigger health; }

# `outrigger ARGS...` at the first site, with what is in standard input.
outrigger() { compose exec -T control-plane outrigger "$@"; }

# What Prometheus has for `up`, one target a line.
targets_up() {
    compose exec -T prometheus promtool query instant http://127.0.0.1:9090 'up' | sed 's/ @\[.*//' | sort
}

targets_are() {
    local up down
    up=$(targets_up | grep --count ' => 1$') || true
    down=$(targets_up | grep --count ' => 0$') || true
    [ "$up/$down" = "$1" ]
}

finish() {
    local code=$?
    trap - EXIT
    if [ $code -ne 0 ]; then
        compose ps || true
        compose logs --tail 20 || true
    fi
    if [ -n "${KEEP:-}" ]; then
        say "left running; \`COMPOSE_PROFILES=redirect,mirror $COMPOSE --project-name outrigger-check down --volumes\` ends it"
    else
        say "taking the mesh down"
        PROFILES=redirect,mirror compose down --volumes --timeout 5 >/dev/null 2>&1 || true
    fi
    [ $code -ne 0 ] || say "all of it was as it should be"
    exit $code
}

COMPOSE=$(find_compose) PROFILES=
docker info >/dev/null 2>&1 || fail "no Docker engine answers; start one, or say with DOCKER_HOST where it is"
say "$(compose version --short) is the Compose in use"
trap finish EXIT

[ "${BUILD:-yes}" = no ] || PROFILES=redirect,mirror compose build
compose up --detach
within $UP_WITHIN "every container is healthy" all_healthy
health
service_a=$(compose port service-a-sidecar 8080)

say "200 requests from service-a to service-b, through both sidecars"
within $SETTLED_WITHIN "the first instance of version 1 answers" answered_by service-b-1
within $SETTLED_WITHIN "the second instance of version 1 answers" answered_by service-b-2
within $SETTLED_WITHIN "version 2 answers" answered_by service-b
call_well 200

within $SETTLED_WITHIN "Prometheus sees the control plane and four sidecars up" targets_are 5/0
targets_up

lost=$(compose ps --quiet service-b-1-sidecar)
say "killing the sidecar of service-b-1, and 200 more requests"
docker kill "$lost" >/dev/null
# Those that meet the lost one take a second; the whole of a call, 15 s at most.
for _ in 1 2 3 4; do call_well 50; done
within $SETTLED_WITHIN "nobody asks service-b-1 any more" not_answered_by service-b-1
call_well 200
within $SETTLED_WITHIN "Prometheus sees which one is gone" targets_are 4/1
targets_up
compose exec -T control-plane outrigger status

say "replacing it"
compose up --detach --force-recreate --no-deps service-b-1-sidecar service-b-1
within $UP_WITHIN "every container is healthy" all_healthy
within $SETTLED_WITHIN "service-b-1 answers again" answered_by service-b-1
call_well 200
within $SETTLED_WITHIN "Prometheus sees all of them up" targets_are 5/0

say "adding the profile redirect"
PROFILES=redirect
compose up --detach
within $UP_WITHIN "every container is healthy" all_healthy
compose logs service-a-redirect-capture
# Version 2 has no address under the name that is dialled: who gets answers from it was redirected.
service_a=$(compose port service-a-redirect-sidecar 8080)
within $SETTLED_WITHIN "version 2 answers, though nobody said that there is a proxy" answered_by service-b
call_well 200
within $SETTLED_WITHIN "Prometheus sees the new sidecar too" targets_are 6/0
targets_up

say "adding the profile mirror: a second site"
PROFILES=mirror
compose up --detach
within $UP_WITHIN "every container is healthy" all_healthy
service_a=$(compose port standby-service-a-sidecar 8080)
within $SETTLED_WITHIN "version 1 answers at the second site" answered_by standby-service-b
call_well 200
within $SETTLED_WITHIN "Prometheus sees both control planes" targets_are 7/0
compose logs --no-color mirror

say "a route at the first site takes everything to version 2"
outrigger apply --set check - <<'ROUTE'
{ kind: Route, meshName: appMesh, virtualRouterName: serviceBRouter, routeName: toVersion2, spec: { priority: 1, httpRoute: {
  match: { prefix: / }, action: { weightedTargets: [{ virtualNode: serviceBNodeV2, weight: 1 }] } } } }
ROUTE
within $SETTLED_WITHIN "only version 2 answers at the second site" only_version_2
outrigger delete mesh/appMesh/virtualRouter/serviceBRouter/route/toVersion2
within $SETTLED_WITHIN "the route is gone there too" both_versions
say "losing the first site's control plane and its mirror"
compose stop control-plane mirror
call_well 200
compose restart standby
within $SETTLED_WITHIN "the standby, started again, is healthy" standby_is_well
call_well 200
