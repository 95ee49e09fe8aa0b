"""What is told to monitoring while the gateway works: numbers for Prometheus, traces for OpenTelemetry. It sees the
rows that are recorded, and changes nothing."""
