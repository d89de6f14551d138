#!/usr/bin/env python3
"""Reads results, and prints what each says about its version (docs/subscribing.md). Ends after LIMIT records, if given.

    pip install "confluent-kafka[avro,schemaregistry]"
    read_results.py localhost:9092 http://localhost:8081 appointments.synced,appointments.failed [LIMIT]
"""

import sys

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def told(value, seen):
    """What a record means, given the versions and generations of each booking that have their result."""
    if value is None:
        return "nobody is asked about a version any more"  # only in appointments.review
    result = value["result"]
    booking = result["booking_id"]
    if result["version"] is None:
        return f"a record, not a version: {result['reason']}, event {result['event_id']}, booking {booking}"
    place, answered = (result["version"], result["generation"]), seen.setdefault((result["practice_id"], booking), set())
    note = ", a copy" if place in answered else ", an older version" if answered and place < max(answered) else ""
    if result["final"]:
        answered.add(place)
    what = result["outcome"] + (f" {result['reason']}" if result["reason"] else "")
    return f"{booking} version {result['version']}: {what}{note if result['final'] else ', not its end'}"


def main(brokers, registry_url, topics, limit=None):
    decode = AvroDeserializer(SchemaRegistryClient({"url": registry_url}))
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "read-results-example",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",  # without it you see results that a transaction took back
        "enable.auto.commit": False,  # commit once you have stored what a result means
    })
    consumer.subscribe(topics.split(","))
    # Yours is a table with practice, booking, version and generation as its key.
    seen, left = {}, int(limit) if limit else -1
    while left != 0:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        value = decode(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
        print(told(value, seen), flush=True)
        consumer.commit(message, asynchronous=False)
        left -= 1
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
