"""What is true of an open invoice at the moment at which it is printed or its customer is reminded."""

from dataclasses import replace

import pytest

from domain.catalog import Bank
from domain.customer import Customer
from domain.document import Settling, reminder, settling
from domain.dunning import Collection, StuckReason
from domain.payment import DeclineClass, PaymentState
from tests.domain.builders import DAY, NOON, SELLER, collection, issued, policy

ADA = Customer(id="cus_1", key="ada", name="Ada Byron", currency="EUR", created_at=NOON, payment_method="pm_1")
FAILED = PaymentState.FAILED


def tried(outcome: PaymentState, decline: DeclineClass | None = None, code: str | None = None) -> Collection:
    return collection(policy("")).attempted(outcome, decline, code, NOON)


class TestSettling:
    @pytest.mark.parametrize(
        ("stands", "expected"),
        [
            (collection(), Settling.CHARGE),
            (collection(policy(net_days=14)), Settling.CHARGE),
            (tried(PaymentState.PROCESSING), Settling.PROCESSING),
            (tried(PaymentState.UNKNOWN), Settling.PROCESSING),
            (tried(PaymentState.REQUIRES_ACTION), Settling.CONFIRM),
            (tried(FAILED, DeclineClass.NEVER, "stolen_card"), Settling.DECLINED),
            (tried(FAILED, DeclineClass.TIMED), Settling.DECLINED),
            (collection().unchargeable(NOON), Settling.PAY),
            (replace(collection(), charge_at=None, cause=StuckReason.PROCESS_FAILING), Settling.PROCESSING),
        ],
    )
    def test_is_what_its_collection_waits_for(self, stands: Collection, expected: Settling):
        assert settling(stands, has_method=True) is expected

    def test_on_terms_without_a_method_is_the_customers_to_pay(self):
        assert settling(collection(policy(net_days=14)), has_method=False) is Settling.PAY

    def test_is_a_charge_while_a_retry_is_to_come(self):
        declined = collection().attempted(FAILED, DeclineClass.TIMED, None, NOON)
        assert settling(declined, has_method=True) is Settling.CHARGE


class TestAReminder:
    def test_says_who_what_how_much_and_until_when(self):
        invoice, now = issued(net_days=14), collection(policy(net_days=14))
        facts = reminder(invoice, now, replace(ADA, method_label="visa •4242"), NOON + 11 * DAY)
        assert facts == {
            "language": "en",
            "seller": "Iron Works Ltd",
            "customer": "Ada",
            "invoice": "IW-2026-000001",
            "amount": "119.00",
            "currency": "EUR",
            "due_on": "2026-06-15",
            "overdue": "",
            "settling": "charge",
            "method": "visa •4242",
            "charged_on": "2026-06-15",
            "iban": "",
            "bic": "",
            "bank": "",
        }

    def test_gives_the_account_and_tells_what_is_late(self):
        invoice = replace(issued(), seller=replace(SELLER, bank=Bank(iban="DE89370400440532013000")))
        facts = reminder(invoice, collection().unchargeable(NOON), ADA, NOON + DAY)
        assert (facts["iban"], facts["overdue"], facts["settling"]) == ("DE89370400440532013000", "yes", "pay")
