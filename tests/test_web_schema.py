"""The service against its own OpenAPI description: any request has an answer that is in it."""

import json

import hypothesis

# Imported here, while no other thread parses: Python 3.11 can fail ("AST constructor recursion
# depth mismatch") when pytest rewrites a plug-in's module beside other threads.
import hypothesis.stateful
import pytest
import schemathesis
import schemathesis.specs.openapi.schemas
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.python.asgi import HOST, shutdown_lifespans
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from singerid.registry import Registry
from singerid.registry.exemplar import Exemplar
from singerid.web.app import create_app
from web_app import judge, recording, settings, sung

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance, unsupported_method,
]  # fmt: skip


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """The description; behind it an application with a registry of three exemplars."""
    registry = Registry.open(tmp_path_factory.mktemp("web") / "registry", create=True)
    encoder = judge().encoder
    for singer in range(3):
        vector = judge().hear_samples(sung(singer, 0), 16_000, "x").vector
        registry.enroll(f"s{singer}", [Exemplar(vector, seconds=4.0)], encoder.fingerprint)
    files = st.sampled_from([recording(0, 1), recording(1, 1), b"", b"no audio"])
    schemathesis.openapi.format("binary", files)
    app = create_app(judge(), registry, settings(hosts=HOST, max_seconds=30.0, workers=2))
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    shutdown_lifespans()


def test_every_answer_is_described(described):
    statuses = set()
    for operation in (result.ok() for result in described.get_all_operations()):

        @hypothesis.given(operation.as_strategy())
        @hypothesis.settings(
            max_examples=8, database=None, derandomize=True, phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        def ask(case):
            statuses.add(case.call_and_validate(checks=CHECKS).status_code)

        ask()
    assert {200, 404, 422} <= statuses


def test_each_operation_describes_its_refusals(described):
    description = json.loads(json.dumps(described.raw_schema))
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert {"200", "401", "429", "503"} <= statuses, (method, path)
            if "requestBody" in operation:
                assert {"408", "413", "415", "422"} <= statuses, (method, path)
            assert operation["description"]
