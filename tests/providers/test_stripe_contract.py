"""What every PaymentProvider promises, asked of ours through the official client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from activities.ports import Intent, PaymentProvider, ProviderRejected, ProviderUnavailable
from domain.money import Money
from domain.payment import CANCELED, DeclineClass, PaymentState, classify
from providers.sandbox import in_process
from providers.stripe import StripePayments, stripe_amount
from tests.providers.stripe_world import World

PRICE = Money(4900, "EUR")


@pytest.fixture
def provider(world: World) -> PaymentProvider:
    return world.provider


@pytest.fixture
async def ada(provider: PaymentProvider) -> str:
    return await provider.create_customer(customer_id="cus_ada", key="customer/ada")


@pytest.fixture
async def intent(provider: PaymentProvider, ada: str) -> Intent:
    return await provider.create_intent(customer_ref=ada, amount=PRICE, invoice_id="inv_1", key="pi:inv_1")


@pytest.fixture
async def saved(provider: PaymentProvider, ada: str) -> Callable[[str], Awaitable[str]]:
    async def saved(test_name: str) -> str:
        method = await provider.attach_method(customer_ref=ada, method=test_name, key=f"method/{test_name}")
        return method.ref

    return saved


Saved = Callable[[str], Awaitable[str]]


class TestBeforeAnyMoney:
    async def test_a_customer_is_made_once_per_key(self, provider: PaymentProvider, ada: str):
        assert await provider.create_customer(customer_id="cus_ada", key="customer/ada") == ada
        assert await provider.create_customer(customer_id="cus_bob", key="customer/bob") != ada

    @pytest.mark.parametrize(
        ("name", "label"),
        [
            ("pm_card_visa", "visa •4242"),
            ("pm_card_visa_debit", "visa •5556"),
            ("pm_card_mastercard", "mastercard •4444"),
            ("pm_success_de", "sepa_debit •3000"),
            ("pm_usBankAccount_success", "us_bank_account •6789"),
        ],
    )
    async def test_a_saved_method_has_a_label_fit_to_show(
        self, provider: PaymentProvider, ada: str, name: str, label: str
    ):
        method = await provider.attach_method(customer_ref=ada, method=name, key="method")
        assert method.label == label
        assert method.ref != name

    async def test_saving_a_method_again_under_its_key_saves_it_once(self, ada: str, saved: Saved):
        assert await saved("pm_card_visa") == await saved("pm_card_visa")

    async def test_a_method_that_this_customer_has_saved_elsewhere_is_taken_as_it_is(
        self, provider: PaymentProvider, ada: str, saved: Saved
    ):
        ref = await saved("pm_card_visa")
        again = await provider.attach_method(customer_ref=ada, method=ref, key="another/key")
        assert (again.ref, again.label) == (ref, "visa •4242")

    async def test_a_method_of_another_customer_is_refused(self, provider: PaymentProvider, saved: Saved):
        bob = await provider.create_customer(customer_id="cus_bob", key="customer/bob")
        with pytest.raises(ProviderRejected):
            await provider.attach_method(customer_ref=bob, method=await saved("pm_card_visa"), key="steal")

    async def test_an_unknown_method_is_refused(self, provider: PaymentProvider, ada: str):
        with pytest.raises(ProviderRejected, match="resource_missing"):
            await provider.attach_method(customer_ref=ada, method="pm_card_of_nobody", key="method")

    async def test_an_unconfirmed_intent_is_pending_and_has_tried_nothing(
        self, provider: PaymentProvider, intent: Intent
    ):
        assert (intent.state, intent.charge_ref, intent.decline) == (PaymentState.PENDING, None, None)
        assert await provider.read_intent(intent_ref=intent.ref) == intent

    async def test_an_invoice_gets_one_intent_however_often_it_is_asked_for(
        self, provider: PaymentProvider, ada: str, intent: Intent
    ):
        again = await provider.create_intent(customer_ref=ada, amount=PRICE, invoice_id="inv_1", key="pi:inv_1")
        assert again == intent

    async def test_a_key_that_was_used_for_something_else_is_refused(
        self, provider: PaymentProvider, ada: str, intent: Intent
    ):
        with pytest.raises(ProviderRejected, match="IdempotencyError"):
            await provider.create_intent(customer_ref=ada, amount=Money(1, "EUR"), invoice_id="inv_1", key="pi:inv_1")

    async def test_what_nobody_knows_is_refused(self, provider: PaymentProvider):
        with pytest.raises(ProviderRejected, match="resource_missing"):
            await provider.read_intent(intent_ref="pi_nobody")
        with pytest.raises(ProviderRejected, match="resource_missing"):
            await provider.create_intent(customer_ref="cus_nobody", amount=PRICE, invoice_id="inv_1", key="k")


class TestCharging:
    async def test_a_good_card_pays_and_a_later_read_says_so_too(
        self, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        paid = await provider.confirm_intent(intent_ref=intent.ref, method_ref=await saved("pm_card_visa"), key="cf:1")
        assert (paid.ref, paid.state, paid.decline) == (intent.ref, PaymentState.SUCCEEDED, None)
        assert paid.charge_ref is not None
        assert await provider.read_intent(intent_ref=intent.ref) == paid

    async def test_the_same_key_moves_money_once(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        card = await saved("pm_card_visa")
        answers = [await provider.confirm_intent(intent_ref=intent.ref, method_ref=card, key="cf:1") for _ in range(3)]
        assert len(set(answers)) == 1
        assert world.moved == [("charge", 4900)]

    async def test_confirming_what_is_paid_under_a_new_key_answers_that_it_is_paid(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        card = await saved("pm_card_visa")
        paid = await provider.confirm_intent(intent_ref=intent.ref, method_ref=card, key="cf:1")
        assert await provider.confirm_intent(intent_ref=intent.ref, method_ref=card, key="cf:2") == paid
        assert world.moved == [("charge", 4900)]

    @pytest.mark.parametrize(
        ("name", "code", "asks_for"),
        [
            ("pm_card_visa_chargeDeclined", "generic_decline", DeclineClass.AMBIGUOUS),
            ("pm_card_chargeDeclined", "generic_decline", DeclineClass.AMBIGUOUS),
            ("pm_card_chargeCustomerFail", "generic_decline", DeclineClass.AMBIGUOUS),
            ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds", DeclineClass.TIMED),
            ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds", DeclineClass.TIMED),
            ("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_velocity_exceeded", DeclineClass.TIMED),
            ("pm_card_chargeDeclinedProcessingError", "processing_error", DeclineClass.SOON),
            ("pm_card_visa_chargeDeclinedLostCard", "lost_card", DeclineClass.NEVER),
            ("pm_card_visa_chargeDeclinedStolenCard", "stolen_card", DeclineClass.NEVER),
            ("pm_card_chargeDeclinedFraudulent", "fraudulent", DeclineClass.NEVER),
            ("pm_card_chargeDeclinedExpiredCard", "expired_card", DeclineClass.CUSTOMER),
            ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", DeclineClass.CUSTOMER),
            ("pm_card_authenticationRequired", "authentication_required", DeclineClass.CUSTOMER),
            ("pm_sandbox_declines_do_not_honor", "do_not_honor", DeclineClass.AMBIGUOUS),
            ("pm_sandbox_declines_do_not_honor__do_not_try_again", "do_not_honor", DeclineClass.NEVER),
        ],
    )
    async def test_a_decline_is_an_answer_that_says_why(
        self,
        world: World,
        provider: PaymentProvider,
        intent: Intent,
        saved: Saved,
        name: str,
        code: str,
        asks_for: DeclineClass,
    ):
        answer = await provider.confirm_intent(intent_ref=intent.ref, method_ref=await saved(name), key="cf:1")
        assert answer.state is PaymentState.FAILED
        assert answer.charge_ref is not None
        assert answer.decline is not None
        assert (answer.decline.decline_code or answer.decline.code) == code
        assert classify(answer.decline) is asks_for
        assert await provider.read_intent(intent_ref=intent.ref) == answer
        assert world.moved == []

    async def test_a_decline_is_kept_under_its_key_and_a_new_attempt_needs_a_new_one(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        declining, good = await saved("pm_card_chargeDeclined"), await saved("pm_card_visa")
        first = await provider.confirm_intent(intent_ref=intent.ref, method_ref=declining, key="cf:1")
        replayed = await provider.confirm_intent(intent_ref=intent.ref, method_ref=declining, key="cf:1")
        second = await provider.confirm_intent(intent_ref=intent.ref, method_ref=declining, key="cf:2")
        third = await provider.confirm_intent(intent_ref=intent.ref, method_ref=good, key="cf:3")
        assert first == replayed
        assert first.charge_ref != second.charge_ref, "a new charge tells 'declined again' from 'never executed'"
        assert (third.state, third.decline) == (PaymentState.SUCCEEDED, None)
        assert world.moved == [("charge", 4900)]

    async def test_an_intent_that_parks_waits_for_the_customer_without_a_charge(
        self, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        parked = await saved("pm_sandbox_parked")
        answer = await provider.confirm_intent(intent_ref=intent.ref, method_ref=parked, key="cf:1")
        assert answer == Intent(ref=intent.ref, state=PaymentState.REQUIRES_ACTION, amount=PRICE)

    async def test_a_method_that_was_detached_is_refused(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        card = await saved("pm_card_visa")
        await world.detach(card)
        with pytest.raises(ProviderRejected, match="detached"):
            await provider.confirm_intent(intent_ref=intent.ref, method_ref=card, key="cf:1")

    async def test_a_method_of_another_customer_is_not_charged(
        self, world: World, provider: PaymentProvider, intent: Intent
    ):
        bob = await provider.create_customer(customer_id="cus_bob", key="customer/bob")
        card = await provider.attach_method(customer_ref=bob, method="pm_card_visa", key="method/bob")
        with pytest.raises(ProviderRejected, match="does not belong"):
            await provider.confirm_intent(intent_ref=intent.ref, method_ref=card.ref, key="cf:1")
        assert world.moved == []


class TestBanks:
    @pytest.mark.parametrize("name", ["pm_success_de", "pm_usBankAccount_success"])
    async def test_a_bank_takes_its_time_and_then_pays(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved, name: str
    ):
        asked = await provider.confirm_intent(intent_ref=intent.ref, method_ref=await saved(name), key="cf:1")
        assert asked.state is PaymentState.PROCESSING
        assert world.moved == []
        paid = await provider.read_intent(intent_ref=intent.ref)
        assert (paid.state, paid.charge_ref) == (PaymentState.SUCCEEDED, asked.charge_ref)
        assert world.moved == [("charge", 4900)]

    async def test_a_slow_bank_is_processing_until_its_time_has_come(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        account = await saved("pm_successDelayed_de")
        asked = await provider.confirm_intent(intent_ref=intent.ref, method_ref=account, key="cf:1")
        assert await provider.read_intent(intent_ref=intent.ref) == asked
        world.clock.passes(timedelta(minutes=3))
        assert (await provider.read_intent(intent_ref=intent.ref)).state is PaymentState.SUCCEEDED

    async def test_a_debit_that_bounces_is_a_decline_found_later(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        account = await saved("pm_insufficientFunds_de")
        await provider.confirm_intent(intent_ref=intent.ref, method_ref=account, key="cf:1")
        bounced = await provider.read_intent(intent_ref=intent.ref)
        assert bounced.state is PaymentState.FAILED
        assert bounced.decline is not None
        assert classify(bounced.decline) is DeclineClass.TIMED
        assert world.moved == []

    async def test_a_bank_that_never_answers_can_be_given_up(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        account = await saved("pm_usBankAccount_processing")
        await provider.confirm_intent(intent_ref=intent.ref, method_ref=account, key="cf:1")
        world.clock.passes(timedelta(days=30))
        assert (await provider.read_intent(intent_ref=intent.ref)).state is PaymentState.PROCESSING
        assert (await provider.cancel_intent(intent_ref=intent.ref, key="cx")).decline == CANCELED
        assert world.moved == []


class TestGivingUp:
    async def test_a_cancelled_intent_has_failed_and_can_never_collect(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        cancelled = await provider.cancel_intent(intent_ref=intent.ref, key="cx:1")
        assert (cancelled.state, cancelled.decline) == (PaymentState.FAILED, CANCELED)
        card = await saved("pm_card_visa")
        assert await provider.confirm_intent(intent_ref=intent.ref, method_ref=card, key="cf:1") == cancelled
        assert await provider.cancel_intent(intent_ref=intent.ref, key="cx:2") == cancelled
        assert world.moved == []

    async def test_cancelling_what_is_paid_answers_that_it_is_paid(
        self, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        card = await saved("pm_card_visa")
        paid = await provider.confirm_intent(intent_ref=intent.ref, method_ref=card, key="cf:1")
        assert await provider.cancel_intent(intent_ref=intent.ref, key="cx") == paid

    async def test_an_intent_that_waits_for_authentication_can_be_cancelled(
        self, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        parked = await saved("pm_sandbox_parked")
        await provider.confirm_intent(intent_ref=intent.ref, method_ref=parked, key="cf:1")
        assert (await provider.cancel_intent(intent_ref=intent.ref, key="cx")).decline == CANCELED


class TestRefunds:
    async def test_money_goes_back_in_parts_once_per_key_and_never_more_than_came(
        self, world: World, provider: PaymentProvider, intent: Intent, saved: Saved
    ):
        card = await saved("pm_card_visa")
        await provider.confirm_intent(intent_ref=intent.ref, method_ref=card, key="cf:1")
        first = await provider.refund(intent_ref=intent.ref, amount=Money(1000, "EUR"), key="re:1")
        assert await provider.refund(intent_ref=intent.ref, amount=Money(1000, "EUR"), key="re:1") == first
        assert await provider.refund(intent_ref=intent.ref, amount=Money(3900, "EUR"), key="re:2") != first
        with pytest.raises(ProviderRejected, match="charge_already_refunded"):
            await provider.refund(intent_ref=intent.ref, amount=Money(1, "EUR"), key="re:3")
        assert world.moved == [("charge", 4900), ("refund", 1000), ("refund", 3900)]

    async def test_more_than_was_paid_is_refused(self, provider: PaymentProvider, intent: Intent, saved: Saved):
        card = await saved("pm_card_visa")
        await provider.confirm_intent(intent_ref=intent.ref, method_ref=card, key="cf:1")
        with pytest.raises(ProviderRejected, match="greater than"):
            await provider.refund(intent_ref=intent.ref, amount=Money(4901, "EUR"), key="re:1")

    async def test_what_was_not_paid_is_not_refunded(self, provider: PaymentProvider, intent: Intent):
        with pytest.raises(ProviderRejected):
            await provider.refund(intent_ref=intent.ref, amount=PRICE, key="re:1")


class TestEmptyWords:
    """Stripe's client makes up a key for an empty one, and asks for the list where an id is empty."""

    @pytest.mark.parametrize("blank", ["", "  "])
    async def test_an_empty_key_or_id_never_leaves_the_house(self, provider: PaymentProvider, blank: str):
        calls: list[Awaitable[object]] = [
            provider.create_customer(customer_id="c", key=blank),
            provider.create_customer(customer_id=blank, key="k"),
            provider.attach_method(customer_ref="c", method="m", key=blank),
            provider.attach_method(customer_ref=blank, method="m", key="k"),
            provider.attach_method(customer_ref="c", method=blank, key="k"),
            provider.create_intent(customer_ref="c", amount=PRICE, invoice_id="i", key=blank),
            provider.create_intent(customer_ref=blank, amount=PRICE, invoice_id="i", key="k"),
            provider.create_intent(customer_ref="c", amount=PRICE, invoice_id=blank, key="k"),
            provider.confirm_intent(intent_ref="pi", method_ref="m", key=blank),
            provider.confirm_intent(intent_ref=blank, method_ref="m", key="k"),
            provider.confirm_intent(intent_ref="pi", method_ref=blank, key="k"),
            provider.read_intent(intent_ref=blank),
            provider.cancel_intent(intent_ref="pi", key=blank),
            provider.cancel_intent(intent_ref=blank, key="k"),
            provider.refund(intent_ref="pi", amount=PRICE, key=blank),
            provider.refund(intent_ref=blank, amount=PRICE, key="k"),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="is empty"):
                await call

    async def test_a_key_longer_than_stripe_takes_never_leaves_the_house(self, provider: PaymentProvider):
        with pytest.raises(ValueError, match="255"):
            await provider.create_customer(customer_id="c", key="k" * 256)

    def test_an_empty_api_key_is_no_key(self):
        with pytest.raises(ValueError, match="api_key"):
            StripePayments("")


class TestAmounts:
    @pytest.mark.parametrize(
        ("amount", "theirs"),
        [
            (Money(1234, "EUR"), 1234),
            (Money(500, "JPY"), 500),
            (Money(5, "ISK"), 500),
            (Money(5, "UGX"), 500),
            (Money(500, "MGA"), 5),
            (Money(1250, "KWD"), 1250),
            (Money(1045, "HUF"), 1045),
        ],
    )
    async def test_an_amount_is_counted_in_stripes_unit(
        self, world: World, provider: PaymentProvider, ada: str, amount: Money, theirs: int
    ):
        assert stripe_amount(amount) == theirs
        intent = await provider.create_intent(customer_ref=ada, amount=amount, invoice_id="inv_x", key="pi:x")
        kept = world.sandbox.account.get("payment_intent", intent.ref, "id")
        assert (kept["amount"], kept["currency"]) == (theirs, amount.currency.lower())

    @pytest.mark.parametrize(
        "amount",
        [
            Money(1, "MGA"),  # an iraimbilanja: Stripe has whole ariary only
            Money(1001, "BHD"),  # three decimals, but the last must be zero
            Money(1, "IQD"),
            Money(1, "CLF"),
            Money(1, "UYI"),
            Money(0, "EUR"),
            Money(-100, "EUR"),
        ],
    )
    async def test_what_stripe_cannot_carry_is_refused_before_it_is_asked(
        self, provider: PaymentProvider, ada: str, amount: Money
    ):
        with pytest.raises(ProviderRejected):
            await provider.create_intent(customer_ref=ada, amount=amount, invoice_id="inv_x", key="pi:x")


class TestAsStrictAsStripe:
    """Stripe checks a card when it is saved: its declining test cards do not attach."""

    @pytest.fixture
    async def strict(self) -> AsyncIterator[World]:
        world = World(checks_on_attach=True)
        yield world
        await world.provider.close()

    async def test_a_declining_card_does_not_attach(self, strict: World):
        with pytest.raises(ProviderRejected, match="card_declined"):
            await strict.method("pm_card_visa_chargeDeclined")

    async def test_the_card_that_is_made_for_it_attaches_and_then_declines(self, strict: World):
        assert (await strict.pay("pm_card_chargeCustomerFail")).state is PaymentState.FAILED

    async def test_a_live_key_is_not_taken_by_the_sandbox(self, world: World):
        live = StripePayments("sk_live_1", address="http://sandbox", transport=in_process(world.sandbox))
        with pytest.raises(ProviderUnavailable, match="401"):
            await live.create_customer(customer_id="c", key="k")
        await live.close()
