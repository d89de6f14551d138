#!/usr/bin/env python3
"""Asks one question of appointments.review, and writes a person's answer to appointments.decisions.

It is what a product does that puts the question to its own users (docs/deciding-reviews.md). It needs
    pip install "confluent-kafka[avro,schemaregistry]"
and then, for a booking that waits:
    decide_review.py --brokers localhost:9092 --registry http://localhost:8081 \
        practice-17 b-48213 LINK --id hf-pat-5512 --by frontdesk-2 --why "asked by phone"

With --offline it needs neither Kafka nor the packages: it reads one review as JSON from its input, and prints the decision.
"""

import argparse
import json
import sys
import time
import uuid

# Which verdicts end a review, by its reason.
ALLOWED = {
    "AMBIGUOUS_PATIENT": ("LINK", "CREATE", "REJECT"),
    "LINK_UNKNOWN": ("LINK", "CREATE", "REJECT"),
    "LINK_CONFLICT": ("LINK", "REJECT"),
    "LINK_MISMATCH": ("LINK", "CREATE", "REJECT"),
    "UNLINKED": ("LINK", "CREATE", "REJECT"),
    "AMBIGUOUS_APPOINTMENT": ("ADOPT", "CREATE", "REJECT"),
    "CRASH_SUSPECT": ("RETRY", "REJECT"),
    "DEFECT": ("RETRY", "REJECT"),
}
WAIT_SECONDS = 60


def decide(review, verdict, healthflow_id, by, why):
    """The decision about one review, as a record of appointments.decisions."""
    result = review["result"]
    if review["waits_for"] is not None:
        raise ValueError(f"it waits behind the review of {review['waits_for']}; decide that one")
    if verdict not in ALLOWED.get(result["reason"], ()):
        raise ValueError(f"a review with reason {result['reason']} does not end with {verdict}")
    if (healthflow_id is not None) != (verdict in ("LINK", "ADOPT")):
        raise ValueError("LINK and ADOPT need an id of HealthFlow's, the others have none")
    return {
        # Make it once for each answer of a person, and repeat it if you write the record again.
        "decision_id": str(uuid.uuid4()),
        "practice_id": result["practice_id"],
        "booking_id": result["booking_id"],
        # The question that the person saw: if it has changed since, the decision is refused and does nothing.
        "version": result["version"],
        "generation": result["generation"],
        "verdict": verdict,
        "healthflow_patient_id": healthflow_id if verdict == "LINK" else None,
        "healthflow_appointment_id": healthflow_id if verdict == "ADOPT" else None,
        "decided_by": by,
        "why": why,
        "decided_at": int(time.time() * 1000),
    }


class Kafka:
    """The topics of healthflow-sync, as this example needs them."""

    def __init__(self, brokers, registry):
        import confluent_kafka
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroDeserializer

        self.kafka = confluent_kafka
        self.brokers = brokers
        self.registry = SchemaRegistryClient({"url": registry})
        self.decode = AvroDeserializer(self.registry)

    def consumer(self):
        return self.kafka.Consumer({
            "bootstrap.servers": self.brokers,
            "group.id": "decide-review-example",
            "enable.auto.commit": False,
            # Without this you see what a transaction took back.
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        })

    def partitions(self, consumer, topic, start):
        known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return [self.kafka.TopicPartition(topic, number, start) for number in known]

    def value(self, message):
        from confluent_kafka.serialization import MessageField, SerializationContext

        return self.decode(message.value(), SerializationContext(message.topic(), MessageField.VALUE))

    def reviews(self):
        """Everything that waits: the newest record of each key, unless that has no value."""
        consumer, newest, ended = self.consumer(), {}, set()
        partitions = self.partitions(consumer, "appointments.review", self.kafka.OFFSET_BEGINNING)
        consumer.assign(partitions)
        while len(ended) < len(partitions):
            message = consumer.poll(10)
            if message is None:
                raise TimeoutError("Kafka does not answer")
            if message.error():
                if message.error().code() != self.kafka.KafkaError._PARTITION_EOF:
                    raise self.kafka.KafkaException(message.error())
                ended.add(message.partition())
            elif message.value() is None:
                newest.pop(message.key(), None)
            else:
                newest[message.key()] = message
        consumer.close()
        return [self.value(message) for message in newest.values()]

    def write(self, decision):
        from confluent_kafka.schema_registry.avro import AvroSerializer
        from confluent_kafka.serialization import MessageField, SerializationContext

        topic = "appointments.decisions"
        schema = self.registry.get_latest_version(f"{topic}-value").schema
        encode = AvroSerializer(self.registry, schema, conf={"auto.register.schemas": False})
        producer = self.kafka.Producer({
            "bootstrap.servers": self.brokers,
            "enable.idempotence": True,
            # The partition of Kafka's default partitioner: where the practice's task reads.
            "partitioner": "murmur2_random",
        })
        failures = []
        producer.produce(
            topic,
            key=decision["practice_id"].encode(),
            value=encode(decision, SerializationContext(topic, MessageField.VALUE)),
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
        if producer.flush(15) or failures:
            raise TimeoutError("Kafka did not accept the decision")

    def write_and_wait(self, decision):
        """What became of the decision, in a line. Reads on from where the topics end before it is written."""
        consumer = self.consumer()
        starts = []
        for topic in ("appointments.review", "appointments.failed"):
            for partition in self.partitions(consumer, topic, 0):
                partition.offset = consumer.get_watermark_offsets(partition, timeout=10)[1]
                starts.append(partition)
        consumer.assign(starts)
        self.write(decision)
        ids = (decision["practice_id"], decision["booking_id"])
        parts = [part.replace("%", "%25").replace("/", "%2F") for part in ids] + [str(decision["version"])]
        key, until = "/".join(parts).encode(), time.monotonic() + WAIT_SECONDS
        try:
            while time.monotonic() < until:
                message = consumer.poll(1)
                if message is None or message.error():
                    continue
                if message.topic() == "appointments.review" and message.key() == key and message.value() is None:
                    return "it is in review no more; its result is in appointments.synced or appointments.failed"
                if message.topic() == "appointments.failed" and message.value() is not None:
                    letter = self.value(message)
                    if letter.get("decision_id") == decision["decision_id"]:
                        return f"refused, {letter['result']['reason']}: {letter['detail']}"
        finally:
            consumer.close()
        return f"nothing came of it within {WAIT_SECONDS} s; it will be read as soon as a worker runs"


def main():
    parser = argparse.ArgumentParser(description="Decides one review.")
    parser.add_argument("practice")
    parser.add_argument("booking")
    parser.add_argument("verdict", choices=["LINK", "CREATE", "ADOPT", "RETRY", "REJECT"])
    parser.add_argument("--id", help="HealthFlow's id, with LINK of the patient, with ADOPT of the appointment")
    parser.add_argument("--by", required=True)
    parser.add_argument("--why", required=True)
    parser.add_argument("--brokers")
    parser.add_argument("--registry")
    parser.add_argument("--offline", action="store_true")
    asked = parser.parse_args()
    kafka = None if asked.offline else Kafka(asked.brokers, asked.registry)
    reviews = [json.load(sys.stdin)] if asked.offline else kafka.reviews()
    of_booking = [
        review for review in reviews
        if (review["result"]["practice_id"], review["result"]["booking_id"]) == (asked.practice, asked.booking)
    ]
    # What is in question comes before what waits behind it.
    of_booking.sort(key=lambda review: review["waits_for"] is not None)
    if not of_booking:
        sys.exit("nothing of this booking is in review")
    try:
        decision = decide(of_booking[0], asked.verdict, asked.id, asked.by, asked.why)
    except ValueError as why:
        sys.exit(str(why))
    print(json.dumps(decision) if asked.offline else kafka.write_and_wait(decision))


if __name__ == "__main__":
    main()
