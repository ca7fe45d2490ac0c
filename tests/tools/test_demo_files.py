import numpy as np
import pytest
from playwright.sync_api import Error as PageError

import telucodec
from telucodec.errors import ContainerError
from telucodec.files import container
from telucodec.files.header import read_header
from tests.conftest import speech
from tools.demo_files import KINDS, LSB, Compared, compare, damaged, written
from tools.fuzz import HOPS


@pytest.fixture(scope="module")
def telu():
    return telucodec.load()


@pytest.mark.parametrize("kind", KINDS)
def test_one_packet_of_a_damaged_file_is_unreadable(telu, kind):
    random = np.random.default_rng(1)
    data = written(telu, [speech(2.0)], kind, random)
    broken = damaged(data, random)
    assert len(broken) == len(data)
    with pytest.raises(ContainerError, match="is damaged"):
        telu.decode(broken)
    header, start = read_header(broken)
    count, left_out = header.packets(HOPS[header.mode]), header.most_left_out
    was, now = (
        dict(container.read_packets(content, start, count, lenient=True, most_left_out=left_out))
        for content in (data, broken)
    )
    assert sum(payload is not None and now.get(number) is None for number, payload in was.items()) == 1


def test_files_are_alike_with_the_same_samples_and_the_same_damage():
    assert Compared(0.9 * LSB, True, True).alike(damaged=True)
    assert not Compared(1.1 * LSB, True, True).alike(damaged=True)
    assert not Compared(0.0, False, False).alike(damaged=False)
    assert not Compared(0.0, True, False).alike(damaged=True)
    assert Compared(0.0, True, False).alike(damaged=True, hides=True)
    assert not Compared(0.0, True, True).alike(damaged=False, hides=True)


class Refusing:
    """A codec that refuses every file, in Python or in the page."""

    def __init__(self, error):
        self._error = error

    def decode(self, data, **options):
        raise self._error


def test_a_file_that_both_refuse_is_alike_and_one_that_only_the_page_refuses_is_not(telu):
    data = telu.encode(speech(0.3), tokens=1)
    page = Refusing(PageError("CodecError: too many packets are missing"))
    assert compare(page, Refusing(ContainerError("too many")), data).alike(damaged=True)
    assert not compare(page, telu, data).alike(damaged=True)
    with pytest.raises(PageError, match="TypeError"):  # a fault of the page
        compare(Refusing(PageError("TypeError: undefined")), telu, data)
