from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

# Imported for their error types: every one must survive the way from process to process.
from dualface_core.encoding.failures import EncoderError, FailureClass
from dualface_core.errors import DualfaceError, FileError
from dualface_core.rendering.messages import Failed


def all_kinds(kind: type[DualfaceError]) -> list[type[DualfaceError]]:
    below = [found for child in kind.__subclasses__() for found in all_kinds(child)]
    # Samples are not made by a process that encodes.
    ours = [found for found in [kind, *below] if found.__module__.startswith("dualface_core.")]
    return [found for found in ours if not found.__module__.startswith("dualface_core.sample")]


KINDS = all_kinds(DualfaceError)
TEXT = st.text(max_size=60)


def traveled(error: DualfaceError) -> DualfaceError:
    line = Failed.of(error).model_dump_json()
    assert "\n" not in line
    return Failed.model_validate_json(line).unpacked()


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.tuples(TEXT, TEXT, TEXT), failure=st.sampled_from(FailureClass), log=st.lists(TEXT, max_size=3))
def test_every_error_arrives_as_what_it_was(
    kind: type[DualfaceError], texts: tuple[str, str, str], failure: FailureClass, log: list[str]
) -> None:
    first, second, third = texts
    if issubclass(kind, EncoderError):
        error: DualfaceError = kind(failure, encoder=first, reason=second, log=tuple(log))
    elif issubclass(kind, FileError):
        error = kind(first, second, action=third)
    else:
        error = kind(first)
    arrived = traveled(error)
    assert type(arrived) is kind
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
    assert arrived.permanent == error.permanent


def test_an_error_of_a_kind_that_is_not_known_keeps_its_words() -> None:
    class NewError(DualfaceError):
        pass

    arrived = traveled(NewError("something new"))
    assert (type(arrived), str(arrived)) == (DualfaceError, "something new")
