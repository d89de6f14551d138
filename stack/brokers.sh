# shellcheck shell=bash
# shellcheck disable=SC2154 # Set by stack.sh, which sources this file: the options, and ports by node.
# The brokers of a local stack: their configuration, their start, and the check that they run. Nodes count from 1 on.

# of_node N NAME: the name of a thing of broker N. The first one's is plain.
of_node() {
  if [[ $1 == 1 ]]; then echo "$2"; else echo "$2-$1"; fi
}

# list WORD...: the words, with commas in between.
list() {
  local IFS=,
  echo "$*"
}

# addresses PORT...: where they are, with commas in between.
addresses() { list "${@/#/127.0.0.1:}"; }

replication_properties() {
  if ((brokers == 1)); then
    cat <<PROPERTIES
# There is one broker.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
PROPERTIES
  else
    cat <<PROPERTIES
# Any one of the brokers may die, with all it has.
offsets.topic.replication.factor=$brokers
transaction.state.log.replication.factor=$brokers
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=$brokers
share.coordinator.state.topic.min.isr=2
default.replication.factor=$brokers
min.insync.replicas=2
PROPERTIES
  fi
}

write_properties() {
  local node=$1 other name voters=() listeners advertised protocols=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
  for ((other = 1; other <= brokers; other++)); do voters+=("$other@127.0.0.1:${controller_port[other]}"); done
  listeners=PLAINTEXT://127.0.0.1:${kafka_port[node]},CONTROLLER://127.0.0.1:${controller_port[node]}
  advertised=PLAINTEXT://127.0.0.1:${kafka_port[node]}
  if [[ -n $proxied ]]; then
    listeners+=,PROXIED://127.0.0.1:${proxied_port[node]}
    advertised+=,PROXIED://127.0.0.1:${proxy_port[node]}
    protocols+=,PROXIED:PLAINTEXT
  fi
  if [[ -n $secured ]]; then
    for name in "${secured_listeners[@]}"; do
      listeners+=,${name^^}://127.0.0.1:${secured_port[$name]}
      advertised+=,${name^^}://127.0.0.1:${secured_port[$name]}
      protocols+=,${name^^}:SASL_SSL
    done
  fi
  {
    cat <<PROPERTIES
# Written by stack.sh at each start.
process.roles=broker,controller
node.id=$node
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=$protocols
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=$(list "${voters[@]}")
log.dirs=$data/$(of_node "$node" kafka)

# Topics are made on purpose, by 'healthflow-sync topics'.
auto.create.topics.enable=false

PROPERTIES
    replication_properties
    [[ -z $secured ]] || security_properties
    cat <<PROPERTIES

# Partitions of the internal topics. The default of 50 costs a cold broker seconds at the first use.
offsets.topic.num.partitions=12
transaction.state.log.num.partitions=12
share.coordinator.state.topic.num.partitions=3

# Milliseconds that a new group waits for more members. Production waits 3000; tests must not wait.
group.initial.rebalance.delay.ms=0
# Milliseconds that a group of the consumer protocol (KIP-848) waits for a silent member, and between its heartbeats. The
# defaults of 45000 and 5000 make tests wait.
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=1000
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
  } >"$data/$(of_node "$node" server).properties"
}

# Listeners with TLS and SCRAM, each under a certificate of its own from the folder of --secured, and an authorizer. Who
# comes without TLS may do everything: the tests themselves, and the broker.
secured_listeners=(good expired misnamed)
security_properties() {
  local name
  cat <<PROPERTIES
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=SCRAM-SHA-256
PROPERTIES
  for name in "${secured_listeners[@]}"; do
    cat <<PROPERTIES
listener.name.$name.ssl.keystore.type=PEM
listener.name.$name.ssl.keystore.location=$secured/$name.both.pem
listener.name.$name.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
PROPERTIES
  done
}

# scram_users: arguments that make each line NAME:PASSWORD of the folder's file "users" a user.
scram_users() {
  [[ -n $secured ]] || return 0
  local name password
  while IFS=: read -r name password; do
    printf '%s\n' "--add-scram=SCRAM-SHA-256=[name=$name,password=$password]"
  done <"$secured/users"
}

# format_storage: makes the brokers' data folders members of one cluster, unless they are already.
format_storage() {
  local id node formatting=() users
  [[ ! -f $data/kafka/meta.properties ]] || return 0
  # 16 random bytes, in the alphabet of Kafka's ids.
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)
  mapfile -t users < <(scram_users)
  for ((node = 1; node <= brokers; node++)); do
    child "$java" "${java_flags[@]}" "${quick_start[@]}" -Xmx128m -cp "$kafka_home/*" kafka.tools.StorageTool format \
      --cluster-id="$id" "${users[@]}" --config "$data/$(of_node "$node" server).properties" \
      >"$data/logs/$(of_node "$node" format).log" 2>&1 </dev/null &
    formatting[node]=$!
  done
  for ((node = 1; node <= brokers; node++)); do
    wait "${formatting[node]}" && continue
    [[ -z $signal ]] || finish 0 "stopping on SIG$signal"
    finish 1 "Kafka's storage could not be formatted, see $data/logs/$(of_node "$node" format).log"
  done
}

# start_kafka N: starts broker N.
start_kafka() {
  local node=$1 log
  log=$data/logs/$(of_node "$node" kafka).log
  touch "$log"
  kafka_log_start[node]=$(stat -c %s "$log")
  child "$java" "${java_flags[@]}" "${kafka_jit[@]}" "-Xmx$heap" -Djava.io.tmpdir="$data/tmp" \
    -Dlog4j2.configurationFile="$stack_dir/log4j2.properties" \
    -cp "$kafka_home/*" kafka.Kafka "$data/$(of_node "$node" server).properties" >>"$log" 2>&1 </dev/null &
  kafka[node]=$!
  disown "${kafka[node]}" # Not a job: "pause" reports its end, not bash.
}

# kafka_answers N: whether broker N does; it says that it started when the controller lets others see it.
kafka_answers() {
  local log
  log=$data/logs/$(of_node "$1" kafka).log
  # Not a pipe: grep leaves a long log before tail has written it.
  grep -qF 'Kafka Server started' <(tail -c "+$((kafka_log_start[$1] + 1))" "$log") && listens "${kafka_port[$1]}"
}

# pid_name N: the variable of stack.env with the process id of broker N.
pid_name() {
  if [[ $1 == 1 ]]; then echo KAFKA_PID; else echo "KAFKA_$1_PID"; fi
}
