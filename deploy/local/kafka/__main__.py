"""Runs the embedded broker: `python -m deploy.local.kafka --port 9092`."""

from deploy.local.kafka import embedded

if __name__ == "__main__":
    embedded.main()
