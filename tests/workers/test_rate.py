import io
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidInput
from workers.rating import rate_document, run_check, run_rate

ROOT = Path(__file__).parents[2]
CASES = sorted((ROOT / "tests" / "cases").glob("*rate-*.json"))
PROGRAM = (
    "import sys; from workers.rating import run_rate; sys.exit(run_rate(sys.argv[1], True, sys.stdout, sys.stderr))"
)

PER_UNIT = {"key": "api", "model": "per_unit", "timing": "arrears", "meter": "calls", "unit_amount": "0.10"}
MATRIX = {
    "key": "courts",
    "name": "Court hours",
    "model": "matrix",
    "timing": "arrears",
    "meter": "hours",
    "dimensions": ["court", "peak"],
    "prices": [{"match": {"court": "1"}, "unit_amount": "12.50"}],
}
COMMITMENT = {"key": "commit", "model": "commitment", "timing": "arrears", "amount": "100.00", "applies_to": ["api"]}


def ran(text: str | bytes, path: Path, *, as_json: bool = True) -> tuple[int, str, str]:
    """Status, standard output and standard error of `perennial rate` on a file with `text`."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    out, err = io.StringIO(), io.StringIO()
    return run_rate(str(path), as_json, out, err), out.getvalue(), err.getvalue()


def priced(**item: object) -> dict[str, object]:
    (answer,) = rate_document({"currency": "EUR", "items": [{"id": "x", **item}]})["items"]
    return answer


def refusal(**item: object) -> tuple[str, str]:
    answer = priced(**item)
    assert "amount" not in answer
    return answer["error"]["code"], answer["error"]["detail"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_shared_case_comes_to_its_amounts(path: Path, tmp_path: Path):
    case = json.loads(path.read_text())
    status, out, err = ran(json.dumps(case["input"]), tmp_path / "input.json")
    assert (status, err) == (0, "")
    assert {item["id"]: item["amount"] for item in json.loads(out)["items"]} == case["expect"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_lines_of_every_item_add_up_to_its_amount(path: Path):
    from domain.money import Money, total

    answer = rate_document(json.loads(path.read_text())["input"])
    for item in answer["items"]:
        lines = (Money.parsed(line["amount"], answer["currency"]) for line in item["lines"])
        assert total(lines, answer["currency"]).text == item["amount"]


class TestTheProcess:
    def test_answers_a_file(self, tmp_path: Path):
        case = json.loads((ROOT / "tests/cases/rate-matrix.json").read_text())
        given_input = tmp_path / "input.json"
        given_input.write_text(json.dumps(case["input"]))
        done = subprocess.run([sys.executable, "-c", PROGRAM, given_input], cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["items"][0]["amount"] == "70.00"

    def test_answers_standard_input_and_loads_no_framework(self):
        text = json.dumps({"currency": "EUR", "items": [{"id": 1, "charge": PER_UNIT, "quantity": -1}]})
        heavy = "{'temporalio', 'sqlalchemy', 'sqlmodel', 'fastapi', 'stripe', 'httpx', 'yaml', 'rich', 'typer'}"
        program = (
            "import sys; from workers.rating import run_rate; status = run_rate('-', True, sys.stdout, sys.stderr)\n"
        )
        program += f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)\nsys.exit(status)"
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, input=text, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("standard input: 1 of 1 items cannot be priced: 1: invalid_quantity: ")
        assert json.loads(done.stdout)["items"][0]["error"]["code"] == "invalid_quantity"


class TestTheAnswer:
    def test_shows_what_was_measured_and_each_line(self):
        answer = priced(
            charge=MATRIX | {"default": "8", "minimum": "50.00", "included": 1},
            events=[
                {"value": "2", "properties": {"court": "1", "peak": True}},
                {"value": "1.5", "properties": {"court": 2}},
            ],
            aggregation="sum",
        )
        assert answer == {
            "id": "x",
            "quantity": "3.5",
            "amount": "50.00",
            "lines": [
                {
                    "description": "Court hours (court 1, peak true)",
                    "quantity": "1",
                    "unit_amount": "12.50",
                    "amount": "12.50",
                },
                {
                    "description": "Court hours (court 2, peak )",
                    "quantity": "1.5",
                    "unit_amount": "8",
                    "amount": "12.00",
                },
                {
                    "description": "Court hours (minimum not reached)",
                    "quantity": "1",
                    "unit_amount": None,
                    "amount": "25.50",
                },
            ],
        }

    def test_of_nothing_used_is_nothing(self):
        assert priced(charge=PER_UNIT, quantity=0) == {"id": "x", "quantity": "0", "amount": "0.00", "lines": []}

    def test_takes_the_charges_own_quantity(self):
        seats = {"key": "seats", "model": "per_unit", "timing": "advance", "unit_amount": "10", "quantity": "3"}
        assert priced(charge=seats)["amount"] == "30.00"

    def test_counts_unique_names(self):
        events = [{"value": name} for name in ("ada", "bob", "ada", 7, "7")]
        assert priced(charge=PER_UNIT, events=events, aggregation="unique_count")["quantity"] == "3"

    def test_needs_no_word_on_timing_key_or_aggregation(self):
        charge = {"model": "per_unit", "unit_amount": "0.10"}
        assert priced(charge=charge, quantity="10")["amount"] == "1.00"
        assert priced(charge=charge, events=[{"value": "3"}, {"value": "4"}])["amount"] == "0.70"

    def test_needs_no_value_to_count(self):
        assert priced(charge=PER_UNIT, events=[{}, {"value": "x"}], aggregation="count")["quantity"] == "2"

    def test_keeps_an_item_without_an_id_in_its_place(self):
        answer = rate_document({"currency": "EUR", "items": [{"charge": PER_UNIT, "quantity": "10"}]})
        assert answer["items"][0]["id"] is None

    def test_of_a_commitment_counts_the_other_items_of_its_charges(self):
        items = [
            {"id": "commit", "charge": COMMITMENT, "prorate": {"days": 15, "of": 30}},
            {"id": "a", "charge": PER_UNIT, "quantity": "100"},
            {"id": "b", "charge": PER_UNIT, "quantity": "50"},
            {"id": "c", "charge": PER_UNIT | {"key": "other"}, "quantity": "50"},
        ]
        assert rate_document({"currency": "EUR", "items": items})["items"][0] == {
            "id": "commit",
            "quantity": "15",
            "amount": "35.00",
            "lines": [
                {
                    "description": "commit (committed amount not reached)",
                    "quantity": "1",
                    "unit_amount": None,
                    "amount": "35.00",
                }
            ],
        }

    def test_of_a_commitment_takes_what_was_counted_elsewhere(self):
        assert priced(charge=COMMITMENT, quantity="99.50")["amount"] == "0.50"
        assert priced(charge=COMMITMENT, quantity="100")["lines"] == []

    def test_of_a_commitment_fails_with_what_it_counts(self):
        items = [{"id": "a", "charge": PER_UNIT, "quantity": "x"}, {"id": "b", "charge": COMMITMENT}]
        answer = rate_document({"currency": "EUR", "items": items})
        assert answer["items"][1]["error"]["code"] == "invalid_charge"


WEIGHTED = {"aggregation": "weighted_sum", "period": {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"}}
TIMED = [{"value": "1", "time": "2026-03-01T00:00:00Z"}]


@pytest.mark.parametrize(
    ("item", "code", "words"),
    [
        ({"charge": PER_UNIT | {"model": "per_units"}, "quantity": 1}, "unknown_model", "per_unit"),
        ({"charge": {"key": "x"}, "quantity": 1}, "invalid_charge", "model is missing"),
        ({"quantity": 1}, "invalid_charge", "mapping"),
        ({"charge": [], "quantity": 1}, "invalid_charge", "mapping"),
        ({"charge": PER_UNIT | {"unit_amount": "x"}, "quantity": 1}, "invalid_charge", "unit_amount"),
        ({"charge": PER_UNIT | {"unit_amout": "1"}, "quantity": 1}, "invalid_charge", "did you mean unit_amount?"),
        ({"charge": PER_UNIT | {"unit_amount": "-1"}, "quantity": 1}, "invalid_charge", "negative"),
        ({"charge": PER_UNIT | {"minimum": "0.001"}, "quantity": 1}, "invalid_charge", "EUR allows"),
        (
            {"charge": {"key": "t", "model": "volume", "timing": "arrears", "tiers": [{"up_to": 5}]}, "quantity": 1},
            "invalid_charge",
            "tiers[0].up_to",
        ),
        ({"charge": PER_UNIT}, "invalid_quantity", "quantity or events"),
        ({"charge": PER_UNIT, "quantity": "-1"}, "invalid_quantity", "less than nothing"),
        ({"charge": PER_UNIT, "quantity": "1e3"}, "invalid_quantity", "decimal string"),
        ({"charge": PER_UNIT, "quantity": "1,5"}, "invalid_quantity", "decimal string"),
        ({"charge": PER_UNIT, "quantity": ""}, "invalid_quantity", "decimal string"),
        ({"charge": PER_UNIT, "quantity": None}, "invalid_quantity", "decimal string"),
        ({"charge": PER_UNIT, "quantity": True}, "invalid_quantity", "decimal string"),
        ({"charge": PER_UNIT, "quantity": 1, "events": []}, "invalid_quantity", "only one"),
        ({"charge": PER_UNIT, "quanity": 1}, "invalid_quantity", "quanity is not known"),
        ({"charge": PER_UNIT, "quantity": 1, "prorate": {"days": 32, "of": 31}}, "invalid_quantity", "prorate"),
        ({"charge": PER_UNIT, "quantity": 1, "prorate": {"days": 0, "of": 0}}, "invalid_quantity", "prorate"),
        ({"charge": PER_UNIT, "quantity": 1, "prorate": 7}, "invalid_quantity", "prorate"),
        ({"charge": PER_UNIT, "events": [], "aggregation": "median"}, "invalid_events", "weighted_sum"),
        ({"charge": PER_UNIT, "events": {}, "aggregation": "sum"}, "invalid_events", "list"),
        ({"charge": PER_UNIT, "events": [{"value": "1"}, 7], "aggregation": "sum"}, "invalid_events", "events[1]"),
        ({"charge": PER_UNIT, "events": [{}], "aggregation": "sum"}, "invalid_events", "events[0].value"),
        ({"charge": PER_UNIT, "events": [{}], "aggregation": "unique_count"}, "invalid_events", "is missing"),
        ({"charge": PER_UNIT, "events": [{"value": "1"}], **WEIGHTED}, "invalid_events", "time"),
        ({"charge": PER_UNIT, "events": TIMED, "aggregation": "weighted_sum"}, "invalid_events", "period"),
        ({"charge": PER_UNIT, "events": TIMED, **WEIGHTED, "period": {}}, "invalid_events", "period.start"),
        (
            {"charge": PER_UNIT, "events": [{"value": "1", "time": "2026-03-01T00:00:00"}], "aggregation": "latest"},
            "invalid_events",
            "with an offset",
        ),
        (
            {"charge": PER_UNIT, "events": [{"value": "1", "time": "0001-01-01T00:00:00+14:00"}], "aggregation": "sum"},
            "invalid_events",
            "instant",
        ),
        ({"charge": PER_UNIT, "events": [*TIMED, {"value": "1"}], "aggregation": "latest"}, "invalid_events", "time"),
        (
            {"charge": MATRIX, "events": [{"value": "1", "properties": {"court": "2"}}], "aggregation": "sum"},
            "unmatched_dimension",
            "court='2'",
        ),
        (
            {"charge": MATRIX, "events": [{"value": "1", "properties": {"court": []}}], "aggregation": "sum"},
            "invalid_events",
            "properties.court",
        ),
        ({"charge": MATRIX, "quantity": 1}, "unmatched_dimension", "no price"),
    ],
)
def test_what_cannot_be_priced_says_why(item: dict[str, object], code: str, words: str):
    found, detail = refusal(**item)
    assert found == code
    assert words in detail


class TestTheExitStatus:
    def test_is_1_when_an_item_failed_and_the_others_are_still_priced(self, tmp_path: Path):
        items = [{"id": "a", "charge": PER_UNIT, "quantity": "x"}, {"id": "b", "charge": PER_UNIT, "quantity": "10"}]
        status, out, err = ran(json.dumps({"currency": "EUR", "items": items}), tmp_path / "in.json")
        assert status == 1
        assert err.startswith(f"{tmp_path}/in.json: 1 of 2 items cannot be priced: a: invalid_quantity: ")
        assert err.count("\n") == 1
        failed, fine = json.loads(out)["items"]
        assert failed["error"]["code"] == "invalid_quantity"
        assert fine["amount"] == "1.00"

    def test_is_1_for_a_float_which_is_named(self, tmp_path: Path):
        text = json.dumps({"currency": "EUR", "items": [{"id": "a", "charge": PER_UNIT, "quantity": 1.5}]})
        status, out, _ = ran(text, tmp_path / "in.json")
        assert status == 1
        assert 'write it as a string: "1.5"' in json.loads(out)["items"][0]["error"]["detail"]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('{"currency": "EUR", "items": [', "line 1"),
            ('{"currency": "EUR",\n "items": [}', "line 2"),
            ("a: b: c", "line 1"),
            ("", "mapping"),
            ("[]", "mapping"),
            ('{"items": []}', "currency"),
            ('{"currency": "EURO", "items": []}', "EURO"),
            ('{"currency": ["EUR"], "items": []}', "currency"),
            ('{"currency": "EUR"}', "items"),
            ('{"currency": "EUR", "items": {}}', "items"),
            ('{"currency": "EUR", "items": [7]}', "items[0]"),
            ('{"currency": "EUR", "items": [], "currency": "USD"}', "twice"),
            (b"\xff\xfe\x00", "UTF-8"),
        ],
    )
    def test_is_2_with_one_line_when_the_input_is_no_use(self, text: str | bytes, words: str, tmp_path: Path):
        status, out, err = ran(text, tmp_path / "in.json")
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        assert words in err
        assert "Traceback" not in err

    @pytest.mark.parametrize("path", ["/nonexistent/input.json", "/"])
    def test_is_2_when_there_is_no_such_file(self, path: str):
        out, err = io.StringIO(), io.StringIO()
        assert run_rate(path, True, out, err) == 2
        assert err.getvalue().startswith(f"{path}: cannot be read: ")


def test_yaml_is_read_as_well_as_json(tmp_path: Path):
    text = """
currency: JPY
items:
  - {id: a, charge: {key: u, model: per_unit, timing: arrears, meter: m, unit_amount: "33.3"}, quantity: "1.5"}
"""
    status, out, _ = ran(text, tmp_path / "in.yaml")
    assert status == 0
    assert json.loads(out)["items"][0]["amount"] == "50"


def test_people_get_a_table(tmp_path: Path):
    items = [
        {"id": "[bold]one", "charge": PER_UNIT | {"minimum": "5.00"}, "quantity": "10"},
        {"id": "two", "charge": PER_UNIT, "quantity": "x"},
        {"id": "three", "charge": PER_UNIT, "quantity": "0"},
    ]
    status, out, _ = ran(json.dumps({"currency": "EUR", "items": items}), tmp_path / "in.json", as_json=False)
    assert status == 1
    for words in ("[bold]one", "minimum not reached", "4.00", "total", "5.00", "invalid_quantity", "nothing to charge"):
        assert words in out


def test_a_line_is_not_wrapped_where_no_terminal_asks_for_it(tmp_path: Path):
    name = "Calls to the interface of the product that are answered within a tenth of a second, from anywhere"
    item = {"id": "a", "charge": PER_UNIT | {"name": name}, "quantity": "10"}
    _, out, _ = ran(json.dumps({"currency": "EUR", "items": [item]}), tmp_path / "in.json", as_json=False)
    assert name in out


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "1", "-1", "0.5", "x", "sum", "flat", "2026-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "key model timing amount unit_amount tiers up_to dimensions prices match value properties time days of "
                "start end".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("charge", "quantity", "events", "aggregation", "prorate", "period"), json_values),
    ),
    st.sampled_from([{}, {"charge": PER_UNIT}, {"charge": MATRIX}, {"charge": COMMITMENT}]),
)
def test_any_item_is_priced_or_refused_with_a_code(item: dict[str, object], sound: dict[str, object]):
    with suppress(InvalidInput):
        answer = rate_document({"currency": "EUR", "items": [{"id": "x", **item, **sound}]})["items"][0]
        assert ("amount" in answer) != ("error" in answer)
        json.dumps(answer)


class TestCheckingAPriceBook:
    SOUND = "entity: {key: a, legal_name: A, country: DE}\nplans: [{key: p, name: P, currency: EUR}]\n"

    def checked(self, text: str, path: Path) -> tuple[int, str, str]:
        path.write_text(text)
        out, err = io.StringIO(), io.StringIO()
        return run_check(str(path), out, err), out.getvalue(), err.getvalue()

    def test_says_what_is_in_a_sound_one(self, tmp_path: Path):
        status, out, err = self.checked(self.SOUND, tmp_path / "book.yaml")
        assert (status, err) == (0, "")
        assert out == f"{tmp_path}/book.yaml: valid, 1 plan, 0 meters, 0 features\n"

    def test_names_path_and_line_of_everything_that_is_wrong(self, tmp_path: Path):
        text = self.SOUND.replace("DE", "Germany").replace("EUR", "EURO")
        status, out, err = self.checked(text, tmp_path / "book.yaml")
        assert (status, out) == (2, "")
        assert err.splitlines() == [
            f"{tmp_path}/book.yaml: entity.country: must be a country code such as DE (line 1)",
            f"{tmp_path}/book.yaml: plans[0].currency: 'EURO' is not an ISO 4217 currency; did you mean EUR? (line 2)",
        ]

    @pytest.mark.parametrize("text", ["a: b: c", "[", "- 1\n- 2", ""])
    def test_says_in_one_line_that_it_cannot_be_read(self, text: str, tmp_path: Path):
        status, out, err = self.checked(text, tmp_path / "book.yaml")
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
