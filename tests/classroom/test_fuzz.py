"""The API fuzzed by schemathesis on its own OpenAPI document: no answer of 5xx."""

import contextlib
import json
import urllib.request

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

# A picture is any bytes. The schemathesis of Python 3.10 knows none by itself.
schemathesis.openapi.media_type("image/png", st.binary())


@pytest.fixture
def schema(server):
    server.finished = False
    with urllib.request.urlopen(server.student + "openapi.json") as answer:
        document = json.load(answer)
    return schemathesis.openapi.from_dict(document)


def fuzz(schema, server, headers):
    """Send each operation 50 requests, half of them wrong; return the statuses."""
    statuses = {}
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        statuses[operation.label] = set()
        fuzz_operation(operation, GenerationMode.POSITIVE, server, headers, statuses)
        # Of some there is nothing wrong to be sent, as of a body of any bytes.
        with contextlib.suppress(Unsatisfiable):
            fuzz_operation(
                operation, GenerationMode.NEGATIVE, server, headers, statuses
            )
    return statuses


def fuzz_operation(operation, mode, server, headers, statuses):
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        response = case.call(base_url=server.student, headers=headers, timeout=20)
        case.validate_response(response, checks=[not_a_server_error])
        statuses[operation.label].add(response.status_code)

    check()


def test_no_request_of_a_stranger_breaks_the_server(schema, server):
    before = server.state()
    statuses = fuzz(schema, server, {})
    assert statuses["POST /api/run"] <= {400, 401, 422}
    assert server.state()["run"] == before["run"]


def test_no_request_of_the_teacher_breaks_the_server(schema, server):
    token = {"Authorization": f"Bearer {server.token}"}
    statuses = fuzz(schema, server, token)
    assert {201, 422} <= statuses["POST /api/run"]
    assert server.process.poll() is None
