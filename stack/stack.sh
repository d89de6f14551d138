#!/usr/bin/env bash
# The one place that starts and stops Apache Kafka and the schema registry as local processes: for the demo, the tests,
# the benchmarks and people. Any number of stacks run side by side, each with a data folder and ports of its own, all on
# 127.0.0.1 only. Nothing outlives its owner: see "child" below.
set -euo pipefail
# shellcheck source=stack/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
stack.sh run --data DIR [OPTIONS]   start in the foreground; ends on a signal or at the end of standard input
stack.sh up                         start in the background: data in .stack/, Kafka on port 19092, registry on 18081
stack.sh down                       stop what `up` started and wait until it is gone; the data stay
stack.sh restart-kafka --data DIR [--kill]
                                    restart the Kafka of a running stack, same port, same data, and wait until it
                                    answers; with --kill it dies by SIGKILL instead of stopping cleanly

options of run:
  --kafka-port P      port of Kafka (default: a free one)
  --registry-port P   port of the schema registry (default: a free one)
  --heap SIZE         Java heap of Kafka, with unit (default: 512m)
  --full-jit          let Java compile Kafka fully: for benchmarks; starts slower, then needs less CPU
  --remove            remove DIR after a clean stop (after a failure it stays, for its logs)

`run` prints one line when both answer: ready kafka=127.0.0.1:P registry=http://127.0.0.1:P/apis/ccompat/v7
DIR/stack.env then holds the same as shell variables, and the process ids; DIR/logs holds the logs.
USAGE
}

# Seconds from start, or restart, until both must answer. Three that started at once on 2 cores took 11.
start_limit=${HEALTHFLOW_STACK_START_SECONDS:-60}
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

kafka_port='' controller_port='' registry_port=''

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

kafka='' registry='' signal='' restart=''

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

write_properties() {
  cat >"$data/server.properties" <<PROPERTIES
# Written by stack.sh at each start.
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller_port
log.dirs=$data/kafka

# Topics are made on purpose, by 'healthflow-sync topics'.
auto.create.topics.enable=false

# There is one broker.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# Partitions of the internal topics. The default of 50 costs a cold broker seconds at the first use.
offsets.topic.num.partitions=12
transaction.state.log.num.partitions=12
share.coordinator.state.topic.num.partitions=3

# Milliseconds that a new group waits for more members. Production waits 3000; here nobody should.
group.initial.rebalance.delay.ms=0
# Milliseconds: the longest transaction that a producer may ask for. Ours ask for 10 to 15 seconds.
transaction.max.timeout.ms=60000
# Milliseconds without a heartbeat after which a broker counts as dead, and between heartbeats. A broker that was killed
# cannot come back before; the default of 9000 makes tests wait.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
# Milliseconds between looks for transactions that ran out of time. The default of 10000 makes tests wait.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# Bytes of heap for compaction. The default of 128 MiB would take much of a small heap.
log.cleaner.dedupe.buffer.size=16777216
PROPERTIES
}

format_storage() {
  [[ ! -f $data/kafka/meta.properties ]] || return 0
  local id
  # 16 random bytes, in the alphabet of Kafka's ids.
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)
  (child "$java" "${java_flags[@]}" "${quick_start[@]}" -Xmx128m -cp "$kafka_home/*" kafka.tools.StorageTool format \
    --cluster-id="$id" --config "$data/server.properties") >"$data/logs/format.log" 2>&1 </dev/null ||
    finish 1 "Kafka's storage could not be formatted, see $data/logs/format.log"
}

start_kafka() {
  local log=$data/logs/kafka.log
  touch "$log"
  kafka_log_start=$(stat -c %s "$log")
  child "$java" "${java_flags[@]}" "${kafka_jit[@]}" "-Xmx$heap" -Djava.io.tmpdir="$data/tmp" \
    -Dlog4j2.configurationFile="$stack_dir/log4j2.properties" \
    -cp "$kafka_home/*" kafka.Kafka "$data/server.properties" >>"$log" 2>&1 </dev/null &
  kafka=$!
  disown "$kafka" # Not a job: its end is told by "pause", not by bash.
}

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

kafka_answers() {
  tail -c "+$((kafka_log_start + 1))" "$data/logs/kafka.log" | grep -qF 'Kafka Server started' && listens "$kafka_port"
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
  local status=0
  read -r -t 0.2 -u 0 _ || status=$?
  [[ -z $signal ]] || finish 0 "stopping on SIG$signal"
  # Above 128: nothing came in time.
  [[ $status == 0 || $status -gt 128 ]] || finish 0 "stopping, standard input has ended"
  alive "$kafka" || finish 1 "Kafka ended by itself, see $data/logs/kafka.log"
  alive "$registry" || finish 1 "the schema registry ended by itself, see $data/logs/registry.log"
}

wait_until_ready() {
  local deadline=$((SECONDS + start_limit))
  until kafka_answers; do
    ((SECONDS < deadline)) || finish 1 "Kafka did not answer within $start_limit s, see $data/logs/kafka.log"
    pause
  done
  until registry_answers; do
    ((SECONDS < deadline)) || finish 1 "the registry did not answer within $start_limit s, see $data/logs/registry.log"
    pause
  done
}

write_env() {
  cat >"$data/stack.env.new" <<ENV
KAFKA_BROKERS=127.0.0.1:$kafka_port
REGISTRY_URL=$registry_url
KAFKA_PID=$kafka
REGISTRY_PID=$registry
ENV
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
  trap '' TERM INT HUP USR1 USR2
  say "$2"
  rm -f "$data/stack.env"
  # shellcheck disable=SC2086 # One that was not started yet is no argument.
  stop $kafka $registry
  if [[ $1 == 0 && -n $remove ]]; then rm -rf "$data"; else rm -f "$data/stack.pid"; fi
  exit "$1"
}

run() {
  local wanted_kafka='' wanted_registry='' lock
  data='' heap=512m remove='' kafka_jit=("${quick_start[@]}")
  while (($#)); do
    case $1 in
      --data) data=${2:?}; shift ;;
      --kafka-port) wanted_kafka=${2:?}; shift ;;
      --registry-port) wanted_registry=${2:?}; shift ;;
      --heap) heap=${2:?}; shift ;;
      --full-jit) kafka_jit=() ;;
      --remove) remove=yes ;;
      *) usage >&2; exit 2 ;;
    esac
    shift
  done
  [[ -n $data ]] || { usage >&2; exit 2; }
  [[ -d $kafka_home && -d $registry_home ]] || die "Kafka and the registry are not here yet: run 'make setup' first"

  mkdir -p "$data/logs" "$data/tmp"
  data=$(cd "$data" && pwd)
  # Held by this process and, through them, by its children: a free lock means that nothing of this stack is left.
  exec {lock}>"$data/lock"
  # One second, because a look from outside ("supervisor" below) holds it for an instant.
  flock -w 1 "$lock" || die "$data is in use by another stack"
  rm -f "$data/stack.env"
  echo $$ >"$data/stack.pid"

  port kafka_port "$wanted_kafka"
  port controller_port ''
  port registry_port "$wanted_registry"
  registry_url=http://127.0.0.1:$registry_port/apis/ccompat/v7

  # Notes only; "pause" acts on them.
  trap 'signal=TERM' TERM
  trap 'signal=INT' INT
  trap 'signal=HUP' HUP
  trap 'restart=TERM' USR1
  trap 'restart=KILL' USR2

  write_properties
  start_registry
  format_storage
  start_kafka
  wait_until_ready
  write_env
  echo "ready kafka=127.0.0.1:$kafka_port registry=$registry_url"

  while :; do
    pause
    if [[ -n $restart ]]; then
      say "restarting Kafka (SIG$restart)"
      [[ $restart != KILL ]] || kill -KILL "$kafka"
      restart=''
      stop "$kafka"
      start_kafka
      wait_until_ready
      write_env
    fi
  done
}

# ---- control from outside ----

# supervisor DIR: prints the process id of the supervisor that runs DIR; fails if none does.
supervisor() {
  [[ -f $1/lock ]] || return 1
  if flock -n "$1/lock" true; then return 1; fi
  cat "$1/stack.pid" 2>/dev/null
}

env_value() { sed -n "s/^$2=//p" "$1/stack.env" 2>/dev/null; }

restart_kafka() {
  local dir='' name=USR1 pid before deadline=$((SECONDS + stop_limit + start_limit))
  while (($#)); do
    case $1 in
      --data) dir=${2:?}; shift ;;
      --kill) name=USR2 ;;
      *) usage >&2; exit 2 ;;
    esac
    shift
  done
  [[ -n $dir ]] || { usage >&2; exit 2; }
  before=$(env_value "$dir" KAFKA_PID)
  pid=$(supervisor "$dir") || die "no stack is running in $dir"
  [[ -n $before ]] || die "the stack in $dir is not ready yet"
  kill "-$name" "$pid"
  while [[ $(env_value "$dir" KAFKA_PID) == "$before" ]] && kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do
    sleep 0.1
  done
  [[ $(env_value "$dir" KAFKA_PID) =~ ^[0-9]+$ && $(env_value "$dir" KAFKA_PID) != "$before" ]] ||
    die "Kafka did not come back, see $dir/logs"
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
  restart-kafka) restart_kafka "$@" ;;
  help | --help | -h) usage ;;
  *) usage >&2; exit 2 ;;
esac
