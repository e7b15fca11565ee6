"""Which passwords are taken, and how they are kept."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from payments.people import emails, passwords

GOOD = "four marbles under a hat"


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("elevenchars", "at least 12"),
        ("x" * 129, "at most 128"),
        ("ada.lovelace@example.com", "e-mail"),
        ("Ada.Lovelace2026", "e-mail"),
        ("passwordpassword", "first that are tried"),
        ("PasswordPassword", "first that are tried"),
        ("aaaabbbbaaaabbbb", "first that are tried"),
        ("abcdefghijklmnop", "first that are tried"),
        ("9876543210987654", "first that are tried"),
        ("12345678901234", "first that are tried"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, word: str) -> None:
    assert word in (passwords.complaint(password, "ada.lovelace@example.com") or "taken")


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "x7" * 6 + "Qw9",
        "пять синих лодок",
        "a" * 60 + "bcdefgh" * 9,
        "\U0001f3b2 dice in a cup \U0001f3b2",
    ],
)
def test_a_long_password_is_taken_whatever_it_is_made_of(password: str) -> None:
    assert passwords.complaint(password, "ada@example.com") is None


def test_every_entry_of_the_common_list_can_be_reached() -> None:
    entries = passwords._common()
    assert len(entries) > 80
    wrong = [e for e in entries if len(e) < passwords.MIN_LENGTH or e != e.casefold()]
    assert not wrong, "shorter ones are refused by length; the look-up is in lower case"


async def test_hashes_are_argon2id_with_the_parameters_of_the_cheat_sheet() -> None:
    found = extract_parameters(await passwords.hash_password(GOOD))
    assert (found.type, found.memory_cost, found.time_cost) == (Type.ID, 19 * 1024, 2)
    assert found.salt_len >= 16


async def test_two_hashes_of_one_password_differ_and_both_match() -> None:
    first, second = await passwords.hash_password(GOOD), await passwords.hash_password(GOOD)
    assert first != second
    assert await passwords.matches(first, GOOD)
    assert await passwords.matches(second, GOOD)
    assert not await passwords.matches(first, GOOD + " ")


async def test_one_password_typed_on_two_keyboards_is_the_same() -> None:
    composed, decomposed = "caf\u00e9 de la gare 7", "cafe\u0301 de la gare 7"
    assert await passwords.matches(await passwords.hash_password(composed), decomposed)


async def test_no_password_fits_without_a_hash_or_with_a_broken_one() -> None:
    assert not await passwords.matches(None, GOOD)
    assert not await passwords.matches("$argon2id$nonsense", GOOD)
    assert not await passwords.matches(passwords.DECOY, "")


def test_the_decoy_costs_what_a_real_hash_costs() -> None:
    assert not passwords.outdated(passwords.DECOY), "or an unknown address answers faster"


def test_a_hash_with_weaker_parameters_is_outdated() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(GOOD)
    assert passwords.outdated(weak)


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ada+books@mail.example.co.uk", "ada+books@mail.example.co.uk"),
        ("\uff41da@example.com", "ada@example.com"),
        ("ada@localhost", None),
        ("ada@@example.com", None),
        ("ada@example.com\r\nBcc: eve@example.com", None),
        ("ada@exa mple.com", None),
        ("@example.com", None),
        ("ada@-example.com", None),
        ("a" * 65 + "@example.com", None),
        ("a@" + "b." * 130 + "com", None),
        ("", None),
    ],
)
def test_an_address_has_one_key_or_none(typed: str, key: str | None) -> None:
    assert emails.normalise(typed) == key
