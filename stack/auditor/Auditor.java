import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The second opinion of a torture run: reads what other teams would read, with another client than the processor's (the
 * Java one instead of librdkafka). Without it a bug of librdkafka's could hide itself.
 *
 * <p>{@code java -cp 'KAFKA_LIBS/*' Auditor.java BROKERS OUT SECONDS TOPIC...} writes to OUT, tab-separated:
 *
 * <pre>
 * record   TOPIC PARTITION OFFSET KEY VALUE HEADERS    each committed record of each TOPIC, from offset 0 to its end
 * hanging  TOPIC PARTITION LAST_STABLE HIGH_WATERMARK  for any topic whose last stable offset stays behind its end
 * end      RECORDS
 * </pre>
 *
 * KEY and VALUE are hex, "-" where there is none; HEADERS are name=hex, joined by commas. A partition hangs if its last stable offset
 * does not reach, within SECONDS, where its high watermark was at the start.
 */
class Auditor {
  private static final HexFormat HEX = HexFormat.of();
  private static final Duration POLL = Duration.ofMillis(200);

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0];
    long limit_ms = Long.parseLong(arguments[2]) * 1_000;
    List<String> topics = List.of(arguments).subList(3, arguments.length);
    try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(arguments[1])));
        KafkaConsumer<byte[], byte[]> committed = consumer(brokers, "read_committed");
        KafkaConsumer<byte[], byte[]> all = consumer(brokers, "read_uncommitted")) {
      Map<TopicPartition, Long> ends = all.endOffsets(partitions(brokers, all));
      Set<TopicPartition> hanging = waitUntilStable(committed, ends, limit_ms, out);
      Map<TopicPartition, Long> wanted =
          ends.entrySet().stream()
              .filter(end -> topics.contains(end.getKey().topic()) && !hanging.contains(end.getKey()))
              .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
      for (TopicPartition partition : hanging) {
        if (topics.contains(partition.topic())) {
          wanted.put(partition, committed.endOffsets(List.of(partition)).get(partition));
        }
      }
      out.printf("end\t%d%n", read(committed, wanted, limit_ms, out));
    }
  }

  private static KafkaConsumer<byte[], byte[]> consumer(String brokers, String isolation) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    settings.put("isolation.level", isolation);
    settings.put("enable.auto.commit", "false");
    settings.put("auto.offset.reset", "none");
    settings.put("allow.auto.create.topics", "false");
    // Also those of __consumer_offsets, where a transaction's offsets hang together with its records.
    settings.put("exclude.internal.topics", "false");
    return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private static Set<TopicPartition> partitions(String brokers, KafkaConsumer<byte[], byte[]> consumer) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    Set<TopicPartition> found = new HashSet<>();
    try (Admin admin = Admin.create(settings)) {
      for (String topic : admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get()) {
        consumer.partitionsFor(topic).forEach(one -> found.add(new TopicPartition(topic, one.partition())));
      }
    }
    return found;
  }

  /** Waits until all that stood at the start is decided; tells what is not in time. */
  private static Set<TopicPartition> waitUntilStable(
      KafkaConsumer<byte[], byte[]> committed, Map<TopicPartition, Long> ends, long limit_ms, PrintWriter out)
      throws InterruptedException {
    long deadline = System.currentTimeMillis() + limit_ms;
    Map<TopicPartition, Long> behind = new HashMap<>();
    do {
      behind.clear();
      committed
          .endOffsets(ends.keySet())
          .forEach((partition, stable) -> { if (stable < ends.get(partition)) behind.put(partition, stable); });
      if (behind.isEmpty()) break;
      Thread.sleep(POLL.toMillis());
    } while (System.currentTimeMillis() < deadline);
    behind.forEach(
        (partition, stable) ->
            out.printf("hanging\t%s\t%d\t%d\t%d%n", partition.topic(), partition.partition(), stable, ends.get(partition)));
    return behind.keySet();
  }

  /** Reads every wanted partition from offset 0 to its end; the position counts, since markers are no records. */
  private static long read(
      KafkaConsumer<byte[], byte[]> committed, Map<TopicPartition, Long> wanted, long limit_ms, PrintWriter out) {
    committed.assign(wanted.keySet());
    wanted.keySet().forEach(partition -> committed.seek(partition, 0));
    long records = 0;
    long deadline = System.currentTimeMillis() + limit_ms;
    while (wanted.entrySet().stream().anyMatch(end -> committed.position(end.getKey()) < end.getValue())) {
      if (System.currentTimeMillis() > deadline) throw new IllegalStateException("the end was not reached in time");
      for (ConsumerRecord<byte[], byte[]> record : committed.poll(POLL)) {
        out.println(line(record));
        records++;
      }
    }
    return records;
  }

  private static String line(ConsumerRecord<byte[], byte[]> record) {
    StringBuilder headers = new StringBuilder();
    for (Header header : record.headers()) {
      if (headers.length() > 0) headers.append(',');
      headers.append(header.key()).append('=').append(hex(header.value()));
    }
    return String.join(
        "\t",
        "record",
        record.topic(),
        Integer.toString(record.partition()),
        Long.toString(record.offset()),
        hex(record.key()),
        hex(record.value()),
        headers);
  }

  private static String hex(byte[] bytes) {
    return bytes == null ? "-" : HEX.formatHex(bytes);
  }
}
