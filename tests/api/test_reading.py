import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.reading import MAX_DEPTH, Inexact, path_text, read_document
from domain.errors import InvalidInput

plain = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=20)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def refused(text: str, **options: bool) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read_document(text, **options)
    return caught.value


class TestWhatIsWrittenIsWhatIsMeant:
    @pytest.mark.parametrize(
        ("word", "value"),
        [
            ("2026-01-31", "2026-01-31"),
            ("2026-01-31T09:00:00+01:00", "2026-01-31T09:00:00+01:00"),
            ("12:30:45", "12:30:45"),
            ("NO", "NO"),
            ("no", "no"),
            ("on", "on"),
            ("yes", "yes"),
            ("true", True),
            ("False", False),
            ("", None),
            ("~", None),
            ("null", None),
            ("0", 0),
            ("-12", -12),
            ("1_000", "1_000"),
            ("0x1F", "0x1F"),
            ("P-3D", "P-3D"),
            ("1.2.3", "1.2.3"),
            ('"12.30"', "12.30"),
            ("'7'", "7"),
        ],
    )
    def test_in_yaml(self, word: str, value: object):
        assert read_document(f"at: {word}").content == {"at": value}

    def test_keys_are_words(self):
        assert read_document("NO: a\n1: b\ntrue: c").content == {"NO": "a", "1": "b", "true": "c"}

    @settings(deadline=None)
    @given(values.filter(lambda value: isinstance(value, dict | list)))
    def test_json_reads_as_json(self, value: object):
        assert read_document(json.dumps(value)).content == value

    def test_anchors_are_read(self):
        assert read_document("a: &x [1, 2]\nb: *x").content == {"a": [1, 2], "b": [1, 2]}

    def test_an_empty_text_is_nothing(self):
        assert read_document("# nothing\n").content is None


class TestNumbersThatWouldBecomeFloats:
    @pytest.mark.parametrize("word", ["1.5", "-0.1", ".5", "1e3", "1.5e-7", "007", ".inf", ".nan", "12."])
    def test_are_refused_with_their_path_line_and_a_remedy(self, word: str):
        (error,) = refused(f"plans:\n  - charges:\n      - amount: {word}").errors
        assert error.loc == ("plans", 0, "charges", 0, "amount")
        assert error.msg == f'write it as a string: "{word}" (line 3)'

    @pytest.mark.parametrize("word", ["1.5", "1e3", "NaN", "-Infinity"])
    def test_are_refused_in_json_too(self, word: str):
        (error,) = refused(f'{{"items":\n [{{"quantity": {word}}}]}}').errors
        assert error.loc == ("items", 0, "quantity")
        assert error.msg.endswith("(line 2)")

    def test_are_all_named(self):
        assert [error.loc for error in refused("a: 1.5\nb: [2.5]").errors] == [("a",), ("b", 0)]

    def test_are_kept_as_text_for_who_asks(self):
        assert read_document('{"a": 1.10}', keep_inexact=True).content == {"a": Inexact("1.10")}
        assert read_document("a: 1.10", keep_inexact=True).content == {"a": Inexact("1.10")}


class TestLines:
    TEXT = "a:\n  - b: 1\n    c: 2\n  - d: [x,\n        y]\n"

    @pytest.mark.parametrize(
        ("loc", "line"),
        [
            ((), 1),
            (("a",), 1),
            (("a", 0), 2),
            (("a", 0, "c"), 3),
            (("a", 1, "d", 1), 5),
            (("a", 1, "nothing", 4), 4),
            (("other",), 1),
        ],
    )
    def test_are_those_of_the_path_or_of_what_is_around_it(self, loc: tuple[str | int, ...], line: int):
        assert read_document(self.TEXT).line(loc) == line

    def test_are_found_in_json(self):
        assert read_document('{"a":\n [1,\n  {"b": 2}]}').line(("a", 1, "b")) == 3


class TestTextFromStrangers:
    def test_a_billion_laughs_are_refused_at_once(self):
        levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))
        started = time.perf_counter()
        assert "aliases make the text too large" in refused(f"l0: &l0 [ha, ha]\n{levels}").detail
        assert time.perf_counter() - started < 1

    def test_an_alias_of_itself_is_refused(self):
        assert "is not defined before" in refused("a: &a [*a]").detail

    @pytest.mark.parametrize("pair", ["[]", "{}"])
    @pytest.mark.parametrize("depth", [MAX_DEPTH + 2, 1_000, 100_000])
    def test_depth_is_limited(self, pair: str, depth: int):
        opening = "[" if pair == "[]" else '{"a":'
        text = opening * depth + ("1" if pair == "{}" else "") + pair[1] * depth
        detail = refused(text).detail
        assert "nest" in detail

    def test_depth_by_indentation_is_limited(self):
        assert "nested deeper" in refused("\n".join(" " * n + "a:" for n in range(60))).detail

    def test_size_is_limited(self):
        assert "at most" in refused("a" * 2_000_001).detail

    @pytest.mark.parametrize(
        "tag",
        [
            "!!python/object/apply:os.system ['true']",
            "!!python/name:os.system",
            "!!float 1",
            "!!binary aGk=",
            "!x y",
            "! 7",
        ],
    )
    def test_tags_are_refused(self, tag: str):
        (error,) = refused(f"a:\n  b: {tag}").errors
        assert error.loc == ("a", "b")
        assert error.msg.startswith("tags are not read")
        assert error.msg.endswith("(line 2)")

    @pytest.mark.parametrize(
        "text",
        [
            "a: 1\nb: 2\na: 3",
            '{"a": 1,\n"b": 2,\n"a": 3}',
        ],
    )
    def test_a_key_that_stands_twice_is_refused(self, text: str):
        (error,) = refused(text).errors
        assert (error.loc, error.msg) == (("a",), "stands twice (line 3)")

    def test_merge_keys_are_refused(self):
        assert "merge keys" in refused("a: &a {b: 1}\nc:\n  <<: *a").detail

    def test_a_second_document_is_refused(self):
        assert "second document" in refused("a: 1\n---\nb: 2").detail

    @pytest.mark.parametrize("text", ["? [a, b]\n: c", "{[a]: b}"])
    def test_keys_that_are_no_words_are_refused(self, text: str):
        assert "a key must be a word" in refused(text).detail

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("a: b: c", 1),
            ("a:\n\t- b", 2),
            ('{"a": 1,\n "b" 2}', 2),
            ('{"a": [1, 2}', 1),
            ("a: [1,\n\n", 3),
            ('"abc', 1),
        ],
    )
    def test_what_is_neither_yaml_nor_json_is_refused_with_its_line(self, text: str, line: int):
        detail = refused(text).detail
        assert detail.startswith("cannot be read: ")
        assert detail.endswith(f"(line {line})")
        assert "\n" not in detail

    @settings(deadline=None)
    @given(st.text(max_size=60))
    def test_any_text_is_read_or_refused(self, text: str):
        with suppress(InvalidInput):
            read_document(text)

    @settings(deadline=None)
    @given(st.text(alphabet="ab:-[]{},&*!|>%@`'\"#?\n ~<1.\t", max_size=60))
    def test_any_text_that_looks_like_yaml_is_read_or_refused(self, text: str):
        with suppress(InvalidInput):
            read_document(text)


def test_paths_are_written_as_people_write_them():
    assert path_text(("plans", 0, "charges", 1, "tiers")) == "plans[0].charges[1].tiers"
    assert path_text(("taxes", "DE")) == "taxes.DE"
    assert path_text(()) == ""
