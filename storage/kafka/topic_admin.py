"""Makes topics what they are to be, as far as brokers let us, with a deadline for every call."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from kit.topics import Topic
from storage.kafka.topic_plan import BrokersAway, Done, Finding, Found, Seen, compare

CALL_SECONDS_MAX: Final = 15.0
"""A controller that has just been elected answers within seconds."""

ANSWER_SECONDS_MAX: Final = 5.0
"""What the library may take beyond that until it tells."""

_MOCK: Final = "mockCluster"
"""How the ids of librdkafka's mock clusters begin."""

_NOT_ALLOWED: Final = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
)


class TopicAdmin:
    """Looks at the topics of a cluster, and changes them."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        """`configuration` is that of `storage.kafka.config.common`. Raises BrokersAway."""
        self._errors: list[KafkaError] = []
        # What the library would write to stderr about connections is told by exceptions.
        settings: dict[str, Any] = {
            **configuration,
            "log_level": 0,
            "error_cb": self._errors.append,
        }
        try:
            self._client = AdminClient(settings)
        except KafkaException as error:
            raise BrokersAway(_property_named(error)) from None

    def look(self, topics: Sequence[Topic]) -> Seen:
        """Return what is there of these topics. Raises BrokersAway."""
        # All topics and not these: to ask for one by its name may make it.
        try:
            cluster = self._client.list_topics(timeout=CALL_SECONDS_MAX)
        except KafkaException as error:
            raise BrokersAway(self._cause(error)) from None
        partitions = {
            topic.name: len(cluster.topics[topic.name].partitions)
            for topic in topics
            if topic.name in cluster.topics
        }
        is_mock = str(cluster.cluster_id).startswith(_MOCK)
        configurations = {} if is_mock else self._configurations(list(partitions))
        there = {name: Found(count, configurations.get(name)) for name, count in partitions.items()}
        return Seen(compare(topics, there), is_mock)

    def apply(self, findings: Sequence[Finding], *, alter: bool) -> tuple[Done, ...]:
        """Make what is missing, and with `alter` change what is different; tell of each of them."""
        missing = [each for each in findings if each.found is None]
        different = [each for each in findings if each.partitions_lacking or each.changes]
        done = self._create(missing)
        if alter:
            done += [self._alter(each) for each in different]
        return tuple(done)

    def _create(self, missing: Sequence[Finding]) -> list[Done]:
        if not missing:
            return []
        # As many copies as the brokers make by themselves.
        wanted = [
            NewTopic(
                each.topic.name,
                num_partitions=each.topic.partitions,
                config=dict(each.topic.configuration),
            )
            for each in missing
        ]
        futures = self._client.create_topics(
            wanted, operation_timeout=CALL_SECONDS_MAX, request_timeout=CALL_SECONDS_MAX
        )
        made = []
        for each in missing:
            error = self._ended(futures[each.topic.name])
            # It may have been there all the time, and not been shown to us.
            if error is not None and error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                made.append(Done(each, ("is there, and not shown to us",)))
            elif error is not None:
                made.append(Done(each, refused=said(error)))
            else:
                made.append(Done(each, ("created",)))
        return made

    def _alter(self, finding: Finding) -> Done:
        """Change one topic, its partitions first."""
        name = finding.topic.name
        did: list[str] = []
        if finding.partitions_lacking:
            more = self._client.create_partitions(
                [NewPartitions(name, finding.topic.partitions)],
                operation_timeout=CALL_SECONDS_MAX,
                request_timeout=CALL_SECONDS_MAX,
            )
            if (error := self._ended(more[name])) is not None:
                return Done(finding, refused=said(error))
            did.append(f"{finding.partitions_lacking} partitions added")
        if finding.changes:
            entries = [
                ConfigEntry(each.name, each.to_be, incremental_operation=AlterConfigOpType.SET)
                for each in finding.changes
            ]
            resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
            changed = self._client.incremental_alter_configs(
                [resource], request_timeout=CALL_SECONDS_MAX
            )
            if (error := self._ended(changed[resource])) is not None:
                return Done(finding, tuple(did), said(error))
            did.append("configuration altered")
        return Done(finding, tuple(did))

    def _configurations(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the configuration of each topic that lets us see it. Raises BrokersAway."""
        if not names:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        futures = self._client.describe_configs(resources, request_timeout=CALL_SECONDS_MAX)
        found: dict[str, dict[str, str]] = {}
        for resource, future in futures.items():
            error = self._ended(future)
            if error is None:
                entries: dict[str, ConfigEntry] = future.result()
                found[resource.name] = {
                    name: entry.value for name, entry in entries.items() if entry.value is not None
                }
            elif error.code() not in _NOT_ALLOWED:
                raise BrokersAway(said(error))
        return found

    def _ended(self, future: Future[Any]) -> KafkaError | None:
        """Wait for an answer; return the error in it, if any. Raises BrokersAway."""
        try:
            error = future.exception(CALL_SECONDS_MAX + ANSWER_SECONDS_MAX)
        except TimeoutError:
            raise BrokersAway(f"no answer within {CALL_SECONDS_MAX:g} s") from None
        if error is None:
            return None
        if not isinstance(error, KafkaException):
            raise error
        kafka_error: KafkaError = error.args[0]
        return kafka_error

    def _cause(self, error: KafkaException) -> str:
        """Return what the library was told meanwhile, which is nearer to the cause."""
        self._client.poll(0)
        causes = [each for each in self._errors if each.code() != KafkaError._ALL_BROKERS_DOWN]
        return said(causes[-1] if causes else error.args[0])


def said(error: KafkaError) -> str:
    """Return an error of a broker as its name and its words."""
    return f"{error.name().lstrip('_')}: {error.str()}"


def _property_named(error: KafkaException) -> str:
    """Return which property was not taken, and not its value, which may be a secret."""
    told: KafkaError = error.args[0]
    _, found, name = told.str().rpartition('property "')
    return f"librdkafka does not take {name.partition(chr(34))[0]}" if found else told.name()
