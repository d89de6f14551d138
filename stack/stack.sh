#!/usr/bin/env bash
# The one place that starts and stops Apache Kafka and the schema registry as local processes: for the demo, the tests,
# the benchmarks and people. Any number of stacks run side by side, each with a data folder and ports of its own, all on
# 127.0.0.1 only. Nothing outlives its owner: see "child" below.
set -euo pipefail
# shellcheck source=stack/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=stack/brokers.sh
source "$stack_dir/brokers.sh"

usage() {
  cat <<'USAGE'
stack.sh run --data DIR [OPTIONS]   start in the foreground; ends on a signal or at the end of standard input
stack.sh up                         start in the background: data in .stack/, Kafka on port 19092, registry on 18081
stack.sh down                       stop what `up` started and wait until it is gone; the data stay
stack.sh restart-kafka --data DIR [--node N] [--kill]
                                    restart broker N (default: 1) of a running stack, same port, same data, and wait
                                    until it answers; with --kill it dies by SIGKILL instead of stopping cleanly
stack.sh restart-registry --data DIR [--kill]
                                    the same for the schema registry

options of run:
  --brokers N         brokers, 1 or 3 (default: 1); of 3, every record has 3 replicas, 2 of which must have it
  --kafka-port P      port of the first broker (default: a free one)
  --registry-port P   port of the schema registry (default: a free one)
  --heap SIZE         Java heap of each broker, with unit (default: 512m)
  --full-jit          let Java compile Kafka fully: for benchmarks; starts slower, then needs less CPU
  --proxied           give each broker a second listener, which advertises the address of a proxy; start the proxy
                      yourself. DIR/stack.env has both, broker by broker: PROXY_BROKERS is where it must listen,
                      PROXIED_BROKERS where it must connect to
  --secured CERTS     give the only broker listeners with TLS and SCRAM-SHA-256, and an authorizer. CERTS holds key and
                      certificate of each in good.both.pem, expired.both.pem and misnamed.both.pem, and NAME:PASSWORD lines in
                      users. DIR/stack.env has GOOD_BROKERS, EXPIRED_BROKERS and MISNAMED_BROKERS
  --remove            remove DIR after a clean stop (after a failure it stays, for its logs)

`run` prints one line when all answer: ready kafka=127.0.0.1:P registry=http://127.0.0.1:P/apis/ccompat/v7
Several brokers are separated by commas. DIR/stack.env then holds the same as shell variables, and the process ids;
DIR/logs holds the logs.
USAGE
}

# Seconds from start, or restart, until all must answer. Three that started at once on 2 cores took 11, and more than 60
# where others loaded the machine.
start_limit=${HEALTHFLOW_STACK_START_SECONDS:-180}
# Seconds that a process may take to stop by itself before it is killed.
stop_limit=10

say() { printf 'stack: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# ---- ports ----

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# claim PORT: takes the port for this stack, against other stacks that start at the same moment. The lock lives as long as
# the last process of this stack, because the children inherit it.
claim() {
  local lock
  mkdir -p "$cache/ports"
  exec {lock}>"$cache/ports/$1"
  if flock -n "$lock" && ! listens "$1"; then return 0; fi
  exec {lock}>&-
  return 1
}

# Of the brokers, by the number of their node, from 1 on: ports, process ids, and where in its log the last start begins.
kafka_port=() controller_port=() proxied_port=() proxy_port=() kafka=() kafka_log_start=()
registry_port=''
# Of the listeners with TLS, by their name.
declare -A secured_port=()

# port NAME WANTED: sets the variable NAME to the wanted port, or to a free one. Not below 20000, where people's servers
# are, and not above 32767, where the system takes the ports of outgoing connections.
port() {
  local candidate
  if [[ -n $2 ]]; then
    claim "$2" || die "port $2 is in use; stop what uses it or choose another one"
    printf -v "$1" %s "$2"
    return
  fi
  for _ in {1..100}; do
    candidate=$((20000 + RANDOM % 12768))
    if claim "$candidate"; then
      printf -v "$1" %s "$candidate"
      return
    fi
  done
  die "no free port found between 20000 and 32767"
}

# ---- children ----

registry='' signal='' restart=''

# child COMMAND...: becomes the command, which the kernel kills the moment this script dies, however it dies. That holds
# from setpriv on; should the script die even before, the child has another parent by then and gives up.
child() {
  # shellcheck disable=SC2016 # The inner shell expands them.
  exec setpriv --pdeathsig KILL bash -c '[[ $PPID == "$0" ]] && exec "$@"' "$$" "$@"
}

# The first compiler only and the simplest collector. On 2 cores a stack is ready in 2.9 s instead of 4.9 s; a broker that
# is long warm spends half as much CPU again (5,000 records/s: 0.25 instead of 0.17 cores), hence --full-jit.
java_flags=(-XX:+UseSerialGC -XX:-UsePerfData)
quick_start=(-XX:TieredStopAtLevel=1)

alive() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null; }

# The registry keeps its schemas in a file of the data folder, so that a stack that comes back still knows the ids that are
# in the topics' records.
start_registry() {
  QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT=$registry_port \
    APICURIO_STORAGE_KIND=sql APICURIO_STORAGE_SQL_KIND=h2 APICURIO_DATASOURCE_URL="jdbc:h2:file:$data/registry/db" \
    child "$java" "${java_flags[@]}" "${quick_start[@]}" -Xmx256m -Djava.io.tmpdir="$data/tmp" -jar "$registry_jar" \
    >>"$data/logs/registry.log" 2>&1 </dev/null &
  registry=$!
  disown "$registry"
}

registry_answers() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$registry_port"
    printf 'GET /apis/ccompat/v7/subjects HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    read -r -t 5 -u 3 status_line && [[ $status_line == *" 200 "* ]]
  ) 2>/dev/null
}

# ---- the supervisor ----

# pause: waits a moment, and ends the stack if a signal came, a process died or standard input ended. The wait is a read
# from standard input, so the end of the owner is noticed, and it costs no process.
pause() {
  local status=0 node
  read -r -t 0.2 -u 0 _ || status=$?
  [[ -z $signal ]] || finish 0 "stopping on SIG$signal"
  # Above 128: nothing came in time.
  [[ $status == 0 || $status -gt 128 ]] || finish 0 "stopping, standard input has ended"
  for node in "${!kafka[@]}"; do
    alive "${kafka[node]}" || finish 1 "Kafka ended by itself, see $data/logs/$(of_node "$node" kafka).log"
  done
  alive "$registry" || finish 1 "the schema registry ended by itself, see $data/logs/registry.log"
}

wait_until_ready() {
  local deadline=$((SECONDS + start_limit)) node
  for ((node = 1; node <= brokers; node++)); do
    until kafka_answers "$node"; do
      ((SECONDS < deadline)) ||
        finish 1 "Kafka did not answer within $start_limit s, see $data/logs/$(of_node "$node" kafka).log"
      pause
    done
  done
  until registry_answers; do
    ((SECONDS < deadline)) || finish 1 "the registry did not answer within $start_limit s, see $data/logs/registry.log"
    pause
  done
}

write_env() {
  local node name
  {
    echo "KAFKA_BROKERS=$kafka_brokers"
    echo "REGISTRY_URL=$registry_url"
    if [[ -n $proxied ]]; then
      echo "PROXY_BROKERS=$(addresses "${proxy_port[@]}")"
      echo "PROXIED_BROKERS=$(addresses "${proxied_port[@]}")"
    fi
    if [[ -n $secured ]]; then
      for name in "${secured_listeners[@]}"; do echo "${name^^}_BROKERS=127.0.0.1:${secured_port[$name]}"; done
    fi
    for node in "${!kafka[@]}"; do echo "$(pid_name "$node")=${kafka[node]}"; done
    echo "REGISTRY_PID=$registry"
  } >"$data/stack.env.new"
  mv "$data/stack.env.new" "$data/stack.env"
}

# stop PID...: asks all of them to stop, waits within the limit, kills the rest.
stop() {
  local pid deadline=$((SECONDS + stop_limit))
  for pid; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid; do
    while alive "$pid" && ((SECONDS < deadline)); do sleep 0.05; done
    if alive "$pid"; then
      say "process $pid did not stop within $stop_limit s; killing it"
      kill -KILL "$pid" 2>/dev/null || true
      while alive "$pid"; do sleep 0.05; done
    fi
  done
}

# finish STATUS WHY: the only way out once there are children.
finish() {
  trap '' TERM INT HUP USR1
  say "$2"
  rm -f "$data/stack.env"
  local servers=("${kafka[@]}")
  [[ -z $registry ]] || servers+=("$registry")
  if [[ $1 == 0 && -n $remove ]]; then
    # Nobody needs data that end well; brokers that lose their controllers take long to say goodbye.
    kill -KILL "${servers[@]}" 2>/dev/null || true
    stop "${servers[@]}"
    rm -rf "$data"
  else
    stop "${servers[@]}"
    rm -f "$data/stack.pid"
  fi
  exit "$1"
}

run() {
  local wanted_kafka='' wanted_registry='' lock node name
  data='' brokers=1 heap=512m proxied='' secured='' remove='' kafka_jit=("${quick_start[@]}")
  while (($#)); do
    case $1 in
      --data) data=${2:?}; shift ;;
      --brokers) brokers=${2:?}; shift ;;
      --kafka-port) wanted_kafka=${2:?}; shift ;;
      --registry-port) wanted_registry=${2:?}; shift ;;
      --heap) heap=${2:?}; shift ;;
      --full-jit) kafka_jit=() ;;
      --proxied) proxied=yes ;;
      --secured) secured=${2:?}; shift ;;
      --remove) remove=yes ;;
      *) usage >&2; exit 2 ;;
    esac
    shift
  done
  [[ -n $data && $brokers =~ ^[13]$ ]] || { usage >&2; exit 2; }
  [[ -d $kafka_home && -d $registry_home ]] || die "Kafka and the registry are not here yet: run 'make setup' first"

  mkdir -p "$data/logs" "$data/tmp"
  data=$(cd "$data" && pwd)
  # Held by this process and, through them, by its children: a free lock means that nothing of this stack is left.
  exec {lock}>"$data/lock"
  # One second, because a look from outside ("supervisor" below) holds it for an instant.
  flock -w 1 "$lock" || die "$data is in use by another stack"
  rm -f "$data/stack.env" "$data/restart"
  echo $$ >"$data/stack.pid"

  for ((node = 1; node <= brokers; node++)); do
    port "kafka_port[$node]" "$wanted_kafka"
    wanted_kafka=''
    port "controller_port[$node]" ''
    [[ -n $proxied ]] || continue
    port "proxied_port[$node]" ''
    port "proxy_port[$node]" ''
  done
  if [[ -n $secured ]]; then
    for name in "${secured_listeners[@]}"; do port "secured_port[$name]" ''; done
  fi
  kafka_brokers=$(addresses "${kafka_port[@]}")
  port registry_port "$wanted_registry"
  registry_url=http://127.0.0.1:$registry_port/apis/ccompat/v7

  # Notes only; "pause" acts on them.
  trap 'signal=TERM' TERM
  trap 'signal=INT' INT
  trap 'signal=HUP' HUP
  trap 'restart=yes' USR1

  for ((node = 1; node <= brokers; node++)); do write_properties "$node"; done
  start_registry
  format_storage
  for ((node = 1; node <= brokers; node++)); do start_kafka "$node"; done
  wait_until_ready
  write_env
  echo "ready kafka=$kafka_brokers registry=$registry_url"

  while :; do
    pause
    [[ -z $restart ]] || restart_one
  done
}

# restart_one: restarts what DIR/restart asks for, the way it asks for: "kafka N SIGNAL" or "registry 1 SIGNAL".
restart_one() {
  local what node sig pid
  restart=''
  read -r what node sig <"$data/restart"
  say "restarting $what $node (SIG$sig)"
  if [[ $what == kafka ]]; then pid=${kafka[node]}; else pid=$registry; fi
  [[ $sig != KILL ]] || kill -KILL "$pid"
  stop "$pid"
  if [[ $what == kafka ]]; then start_kafka "$node"; else start_registry; fi
  wait_until_ready
  write_env
}

# ---- control from outside ----

# supervisor DIR: prints the process id of the supervisor that runs DIR; fails if none does.
supervisor() {
  [[ -f $1/lock ]] || return 1
  if flock -n "$1/lock" true; then return 1; fi
  cat "$1/stack.pid" 2>/dev/null
}

env_value() { sed -n "s/^$2=//p" "$1/stack.env" 2>/dev/null; }

# restart_part WHAT OPTIONS...: has the supervisor restart a broker or the registry, and waits until that is done.
restart_part() {
  local what=$1 dir='' node=1 sig=TERM name pid before lock deadline=$((SECONDS + 2 * (stop_limit + start_limit)))
  shift
  while (($#)); do
    case $1 in
      --data) dir=${2:?}; shift ;;
      --node) node=${2:?}; shift ;;
      --kill) sig=KILL ;;
      *) usage >&2; exit 2 ;;
    esac
    shift
  done
  [[ -n $dir ]] || { usage >&2; exit 2; }
  pid=$(supervisor "$dir") || die "no stack is running in $dir"
  # One after the other.
  exec {lock}>"$dir/restart.lock"
  flock "$lock"
  if [[ $what == kafka ]]; then name=$(pid_name "$node"); else name=REGISTRY_PID; fi
  before=$(env_value "$dir" "$name")
  [[ -n $before ]] || die "the stack in $dir has no $what $node, or is not ready yet"
  echo "$what $node $sig" >"$dir/restart"
  kill -USR1 "$pid"
  while [[ $(env_value "$dir" "$name") == "$before" ]] && kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do
    sleep 0.1
  done
  [[ $(env_value "$dir" "$name") =~ ^[0-9]+$ && $(env_value "$dir" "$name") != "$before" ]] ||
    die "$what $node did not come back, see $dir/logs"
}

up() {
  local data=$root/.stack lock pid
  mkdir -p "$data/logs"
  # Two people typing `make up` at once get one stack.
  exec {lock}>"$data/up.lock"
  flock "$lock"
  if ! supervisor "$data" >/dev/null; then
    # A pipe that the supervisor itself holds open for writing never ends: this stack has no owner to die.
    rm -f "$data/stdin" "$data/stack.env"
    mkfifo "$data/stdin"
    say "starting Kafka and the schema registry, 5 to 20 seconds"
    setsid "$stack_dir/stack.sh" run --data "$data" --kafka-port 19092 --registry-port 18081 \
      0<>"$data/stdin" >"$data/logs/stack.log" 2>&1 {lock}>&- &
    pid=$!
    # shellcheck disable=SC2064 # The pid of now.
    trap "kill $pid 2>/dev/null; exit 130" INT TERM HUP
    until [[ -f $data/stack.env ]]; do
      kill -0 "$pid" 2>/dev/null || { cat "$data/logs/stack.log" >&2; exit 1; }
      sleep 0.1
    done
  fi
  echo "Kafka            $(env_value "$data" KAFKA_BROKERS)"
  echo "schema registry  $(env_value "$data" REGISTRY_URL)"
  echo "logs             $data/logs"
}

down() {
  local data=$root/.stack pid
  pid=$(supervisor "$data") || { say "nothing is running"; return 0; }
  kill -TERM "$pid"
  # Twice the stop limit: both processes may have to be killed.
  flock -w $((2 * stop_limit)) "$data/lock" true || die "process $pid has not ended; see $data/logs/stack.log"
  say "stopped; the data stay in $data"
}

command=${1:-help}
(($# == 0)) || shift
case $command in
  run) run "$@" ;;
  up) up ;;
  down) down ;;
  restart-kafka) restart_part kafka "$@" ;;
  restart-registry) restart_part registry "$@" ;;
  help | --help | -h) usage ;;
  *) usage >&2; exit 2 ;;
esac
