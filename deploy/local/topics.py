"""Gives a stack's own Apache Kafka the topics of this version."""

from deploy import topics
from deploy.local import supervisor
from kit.topics import BadTopics
from storage.kafka import config
from storage.kafka.topic_admin import TopicAdmin
from storage.kafka.topic_plan import BrokersAway

CLIENT_ID = "tender-up"


def prepare(bootstrap: str) -> int:
    """Make the topics what the file says; return how many were not. Raises StartFailed."""
    try:
        admin = TopicAdmin(config.common(bootstrap, CLIENT_ID))
        done = admin.apply(admin.look(topics.read()).findings, alter=True)
    except (BadTopics, BrokersAway) as error:
        raise supervisor.StartFailed(f"the topics were not made: {error}") from error
    refused = [f"{each.finding.topic.name}: {each.refused}" for each in done if each.refused]
    if refused:
        raise supervisor.StartFailed("the topics were not made:\n" + "\n".join(refused))
    return len(done)
