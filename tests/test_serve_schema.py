"""The OpenAPI of `striate serve`, by schemathesis: what it allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import Served, served

from striate.serve.openapi import openapi
from striate.serve.settings import Limits, Settings

LIMITS = Limits(images=8)
schema = schemathesis.openapi.from_dict(openapi(Settings(limits=LIMITS)))


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(images=LIMITS.images) as found:
        yield found


@schema.parametrize()
@settings(max_examples=40, deadline=None)
def test_the_server_does_as_it_says(server: Served, case: Case) -> None:
    """No fault; statuses, types and bodies as described; what is not described is refused."""
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{server.port}",
        # Most bytes are no image, and most text is no base64, which a schema cannot say.
        excluded_checks=[positive_data_acceptance],
    )
