"""The real ETTh1, for the tests that need it."""

from tests.informer.conftest import etth1  # noqa: F401
