#!/usr/bin/env python3
"""Publishes the booking in a JSON file, as DentScheduler does (docs/publishing.md).

    pip install "confluent-kafka[avro,schemaregistry]"
    publish_booking.py localhost:9092 http://localhost:8081 booking.json
"""

import json
import sys
import time
import uuid
from datetime import datetime

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "appointments.requested"


def booking_in(path):
    """The booking as a record; every change of it is a record of its own, in full, under a higher version."""
    with open(path, encoding="utf-8") as file:
        booking = json.load(file)
    booking.setdefault("event_id", str(uuid.uuid4()))
    booking.setdefault("requested_at", int(time.time() * 1000))
    start = booking["visit"]["start"]
    if isinstance(start, str):
        booking["visit"]["start"] = int(datetime.fromisoformat(start).timestamp() * 1000)
    return booking


def main(brokers, registry_url, path):
    registry = SchemaRegistryClient({"url": registry_url})
    # The schema that is registered: publishers register none.
    schema = registry.get_latest_version(f"{TOPIC}-value").schema
    encode = AvroSerializer(registry, schema, conf={"auto.register.schemas": False})
    producer = Producer({
        "bootstrap.servers": brokers,
        "acks": "all",  # it counts once every replica in sync has it
        "enable.idempotence": True,  # sent again, it is still there once, and in order
        "partitioner": "murmur2_random",  # where the workers look for the practice; librdkafka's default is another
    })
    booking, failures = booking_in(path), []
    producer.produce(
        TOPIC,
        key=booking["practice_id"].encode(),
        value=encode(booking, SerializationContext(TOPIC, MessageField.VALUE)),
        on_delivery=lambda error, _: failures.append(error) if error else None,
    )
    if producer.flush(30) > 0 or failures:
        sys.exit(f"not published: {failures or 'no answer within 30 s'}; publish it again, copies are absorbed")
    print(f"published {booking['booking_id']} version {booking['version']} as {booking['event_id']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
