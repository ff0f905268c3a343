"""The library's client is told the same by the project's emulator and by LocalStack."""

import pytest

from tests.parity.parity_script.stream_api import LOOKS


@pytest.mark.parametrize("name", LOOKS)
def test_the_source_sees_the_same(name, emulator_witness, localstack_witness):
    look = LOOKS[name]
    assert look(emulator_witness) == look(localstack_witness)
