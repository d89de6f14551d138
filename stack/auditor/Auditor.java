import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
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
 * <p>{@code java -cp 'KAFKA_LIBS/*' Auditor.java BROKERS OUT SECONDS TOPIC...} says {@code reading} on standard output and
 * reads, while everything breaks, until it gets {@code report} on standard input. Then it reads on to the end and all of
 * it once more, from offset 0, and says {@code reported}. When standard input ends it ends at once. It writes to OUT,
 * tab-separated:
 *
 * <pre>
 * record   TOPIC PARTITION OFFSET KEY VALUE HEADERS    each committed record of each TOPIC, when it was first seen
 * changed  TOPIC PARTITION OFFSET HOW                  a record that the two readings do not agree about
 * hanging  TOPIC PARTITION LAST_STABLE HIGH_WATERMARK  for any topic whose last stable offset stays behind its end
 * end      RECORDS
 * </pre>
 *
 * KEY and VALUE are hex, "-" where there is none; HEADERS are name=hex, joined by commas. A partition hangs if its last stable offset
 * does not reach, within SECONDS, where its high watermark was when the report was asked for.
 */
class Auditor {
  private static final HexFormat HEX = HexFormat.of();
  private static final Duration POLL = Duration.ofMillis(200);

  private static volatile boolean isReportWanted = false;

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0];
    long limit_ms = Long.parseLong(arguments[2]) * 1_000;
    List<String> topics = List.of(arguments).subList(3, arguments.length);
    try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(arguments[1])));
        KafkaConsumer<byte[], byte[]> alongside = consumer(brokers, "read_committed");
        KafkaConsumer<byte[], byte[]> afterwards = consumer(brokers, "read_committed");
        KafkaConsumer<byte[], byte[]> all = consumer(brokers, "read_uncommitted")) {
      Reading first = new Reading(alongside, partitions(brokers, alongside, topics), out::println);
      listen();
      System.out.println("reading");
      first.readUntil(() -> isReportWanted, Long.MAX_VALUE);
      Map<TopicPartition, Long> ends = all.endOffsets(partitions(brokers, all, null));
      Set<TopicPartition> hanging = waitUntilStable(afterwards, ends, limit_ms, out);
      Map<TopicPartition, Long> wanted =
          ends.entrySet().stream()
              .filter(end -> topics.contains(end.getKey().topic()) && !hanging.contains(end.getKey()))
              .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
      for (TopicPartition partition : hanging) {
        if (topics.contains(partition.topic())) {
          wanted.put(partition, afterwards.endOffsets(List.of(partition)).get(partition));
        }
      }
      first.readTo(wanted, limit_ms);
      Reading second = new Reading(afterwards, wanted.keySet(), line -> {});
      second.readTo(wanted, limit_ms);
      compare(first, second, out);
      out.printf("end\t%d%n", first.records());
    }
    System.out.println("reported");
    // The thread that listens would wait for the end of standard input.
    System.exit(0);
  }

  /** Reads commands; the parent process is gone when standard input ends. */
  private static void listen() {
    Thread listener =
        new Thread(
            () -> {
              try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in))) {
                for (String line = in.readLine(); line != null; line = in.readLine()) {
                  isReportWanted |= line.equals("report");
                }
              } catch (IOException broken) {
                // As good as ended.
              }
              Runtime.getRuntime().halt(1);
            });
    listener.setDaemon(true);
    listener.start();
  }

  private static KafkaConsumer<byte[], byte[]> consumer(String brokers, String isolation) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    settings.put("isolation.level", isolation);
    settings.put("enable.auto.commit", "false");
    // Data that were there and are gone must end this program, not be skipped.
    settings.put("auto.offset.reset", "none");
    settings.put("allow.auto.create.topics", "false");
    // Also those of __consumer_offsets, where a transaction's offsets hang together with its records.
    settings.put("exclude.internal.topics", "false");
    return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  /** All partitions of {@code topics}, or of every topic where there are none named. */
  private static Set<TopicPartition> partitions(
      String brokers, KafkaConsumer<byte[], byte[]> consumer, Collection<String> topics) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    Set<TopicPartition> found = new HashSet<>();
    try (Admin admin = Admin.create(settings)) {
      Collection<String> names =
          topics != null ? topics : admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
      for (String topic : names) {
        consumer.partitionsFor(topic).forEach(one -> found.add(new TopicPartition(topic, one.partition())));
      }
    }
    return found;
  }

  /** Waits until every transaction that was open at the start is decided; reports those that are not in time. */
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

  /** Tells where the two readings differ. A run is too short for compaction: it leaves the newest segment alone. */
  private static void compare(Reading first, Reading second, PrintWriter out) {
    first.lines.forEach(
        (partition, lines) -> {
          Map<Long, String> again = second.lines.get(partition);
          lines.forEach(
              (offset, line) -> {
                String other = again.get(offset);
                if (other == null) tell(partition, offset, "vanished", out);
                else if (!other.equals(line)) tell(partition, offset, "other bytes", out);
              });
          again.keySet().stream()
              .filter(offset -> !lines.containsKey(offset))
              .forEach(offset -> tell(partition, offset, "came late", out));
        });
    for (Reading reading : List.of(first, second)) {
      reading.repeated.forEach((partition, offset) -> tell(partition, offset, "read twice", out));
    }
  }

  private static void tell(TopicPartition partition, long offset, String how, PrintWriter out) {
    out.printf("changed\t%s\t%d\t%d\t%s%n", partition.topic(), partition.partition(), offset, how);
  }

  /** One reading, from offset 0 on. */
  private static class Reading {
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Consumer<String> out;
    /** Every record as its line, by partition and offset. */
    final Map<TopicPartition, TreeMap<Long, String>> lines = new HashMap<>();
    /** Of each partition, the last offset that was not above all before. */
    final Map<TopicPartition, Long> repeated = new HashMap<>();

    Reading(KafkaConsumer<byte[], byte[]> consumer, Set<TopicPartition> partitions, Consumer<String> out) {
      this.consumer = consumer;
      this.out = out;
      consumer.assign(partitions);
      partitions.forEach(partition -> consumer.seek(partition, 0));
      partitions.forEach(partition -> lines.put(partition, new TreeMap<>()));
    }

    void readUntil(BooleanSupplier isOver, long deadline) {
      while (!isOver.getAsBoolean()) {
        if (System.currentTimeMillis() > deadline) throw new IllegalStateException("the end was not reached in time");
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
          TopicPartition partition = new TopicPartition(record.topic(), record.partition());
          TreeMap<Long, String> known = lines.get(partition);
          if (!known.isEmpty() && known.lastKey() >= record.offset()) repeated.put(partition, record.offset());
          String line = line(record);
          known.put(record.offset(), line);
          out.accept(line);
        }
      }
    }

    /** Reads on to {@code ends}; the position counts, since markers are no records. */
    void readTo(Map<TopicPartition, Long> ends, long limit_ms) {
      readUntil(
          () -> ends.entrySet().stream().allMatch(end -> consumer.position(end.getKey()) >= end.getValue()),
          System.currentTimeMillis() + limit_ms);
    }

    long records() {
      return lines.values().stream().mapToLong(Map::size).sum();
    }
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
