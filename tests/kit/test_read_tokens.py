"""Read tokens as text."""

import pytest

from kit import read_tokens
from kit.read_tokens import ReadToken


def test_a_token_comes_back_as_it_was_written() -> None:
    token = ReadToken("s1", "0a1b2c", 42)

    assert read_tokens.parse(str(token)) == [token]


def test_a_text_may_have_the_tokens_of_several_shards() -> None:
    tokens = read_tokens.parse("s1.a.1,s2.b.7,s1.a.3")

    assert read_tokens.of_shard(tokens, "s1") == ReadToken("s1", "a", 3)
    assert read_tokens.of_shard(tokens, "s2") == ReadToken("s2", "b", 7)
    assert read_tokens.of_shard(tokens, "s3") is None


def test_no_text_is_no_token() -> None:
    assert list(read_tokens.parse("")) == []


@pytest.mark.parametrize(
    "text",
    [
        *("s1", "s1.a", "s1.a.0", "s1.a.01", "s1.a.-1", "s1.a.1,", ",", "s1.a.1 ", "S1.a.1"),
        *("s1.a.1\n", "s1.a." + "9" * 19, "s" * 17 + ".a.1", "s1.a.\u0661"),
        ",".join(["s1.a.1"] * 257),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not read tokens"):
        read_tokens.parse(text)
