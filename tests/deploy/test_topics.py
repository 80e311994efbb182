"""Every place gets Kafka's topics from the one file."""

from deploy import topics
from scripts import deployment
from tests.deploy import files


def test_kubernetes_has_each_topic_in_the_cluster_that_is_there() -> None:
    (cluster,) = files.of_kind("Kafka")
    manifests = files.of_kind("KafkaTopic")

    assert cluster == deployment.KAFKA
    assert list(manifests) == [topic.name for topic in topics.read()]
    for topic in topics.read():
        manifest = manifests[topic.name]
        assert manifest["metadata"]["labels"] == {"strimzi.io/cluster": cluster}
        assert manifest["spec"] == {
            "partitions": topic.partitions,
            "config": dict(topic.configuration),
        }


def test_whoever_makes_topics_of_manifests_is_there() -> None:
    (cluster,) = files.of_kind("Kafka").values()

    assert "topicOperator" in cluster["spec"]["entityOperator"]


def test_compose_applies_the_file_once_kafka_is_there() -> None:
    service = files.services()["topics"]

    assert [*service["entrypoint"], *service["command"]] == ["tender", "topics", "apply"]
    assert service["environment"]["TENDER_KAFKA_BOOTSTRAP"] == "kafka:9092"
    assert service["depends_on"] == {"kafka": {"condition": "service_healthy"}}
