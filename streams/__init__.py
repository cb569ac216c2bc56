"""planstream over Kafka: settings, topics, runtime, command line, client."""
