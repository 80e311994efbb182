"""What a PromQL expression asks for: which series, by which labels, and what labels come out."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser

RATE_INTERVAL = "5m"  # What Grafana would put in place of its variable.
LabelsOf = Callable[[str], frozenset[str]]


def parse(expression: str) -> promql_parser.Expr:
    return promql_parser.parse(expression.replace("$__rate_interval", RATE_INTERVAL))


def selectors(expression: Any) -> Iterator[Any]:
    """Yield every vector selector of the expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for part in _parts(expression):
        yield from selectors(part)


def aggregations(expression: Any) -> Iterator[Any]:
    """Yield every aggregation of the expression."""
    if isinstance(expression, promql_parser.AggregateExpr):
        yield expression
    for part in _parts(expression):
        yield from aggregations(part)


def grouped_by(aggregation: Any) -> frozenset[str]:
    """Return the labels that an aggregation keeps; here all of them say `by`."""
    if aggregation.modifier is None:
        return frozenset()
    assert aggregation.modifier.type == promql_parser.AggModifierType.By
    return frozenset(aggregation.modifier.labels)


def output_labels(expression: Any, labels_of: LabelsOf) -> frozenset[str]:
    """Return the labels that the result may carry, given those of each series."""
    match expression:
        case promql_parser.VectorSelector():
            return labels_of(str(expression.name))
        case promql_parser.AggregateExpr():
            return grouped_by(expression)
        case promql_parser.Call() if expression.func.name == "histogram_quantile":
            return output_labels(expression.args[1], labels_of) - {"le"}
        case promql_parser.BinaryExpr() if str(expression.op) != "or":
            found = output_labels(expression.lhs, labels_of)
            return found or output_labels(expression.rhs, labels_of)
        case _:
            parts = [output_labels(part, labels_of) for part in _parts(expression)]
            return frozenset().union(*parts)


def _parts(expression: Any) -> list[Any]:
    match expression:
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            return [expression.expr]
        case promql_parser.MatrixSelector():
            return [expression.vector_selector]
        case promql_parser.SubqueryExpr():
            return [expression.expr]
        case promql_parser.BinaryExpr():
            return [expression.lhs, expression.rhs]
        case promql_parser.Call():
            return list(expression.args)
        case _:
            return []


def templated(text: str) -> frozenset[str]:
    """Return the labels that a legend or an annotation names."""
    named = re.findall(r"{{\s*(?:if )?(?:\$labels\.)?([a-z_]+)\s*}}", text)
    return frozenset(named) - {"else", "end"}
