import pytest

from domain.payment import CANCELED, Decline, DeclineClass, classify

NEVER, CUSTOMER, SOON = DeclineClass.NEVER, DeclineClass.CUSTOMER, DeclineClass.SOON
TIMED, AMBIGUOUS = DeclineClass.TIMED, DeclineClass.AMBIGUOUS

# The table of decline codes, as it is practised (docs/algorithms/dunning).
TABLE = {
    NEVER: """
        lost_card stolen_card pickup_card fraudulent merchant_blacklist highest_risk_level blocklist restricted_card
        invalid_account incorrect_number invalid_number revocation_of_authorization revocation_of_all_authorizations
        stop_payment_order security_violation transaction_not_allowed card_not_supported currency_not_supported
        previously_declined_do_not_retry""",
    CUSTOMER: """
        authentication_required expired_card incorrect_cvc invalid_cvc incorrect_zip invalid_expiry_month
        invalid_expiry_year debit_not_authorized bank_account_unusable bank_account_unverified
        billing_invalid_mandate payment_intent_mandate_invalid payment_intent_authentication_failure""",
    SOON: """
        processing_error issuer_not_available try_again_later reenter_transaction approve_with_id
        payment_method_provider_timeout""",
    TIMED: "insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded card_decline_rate_limit_exceeded",
    AMBIGUOUS: "do_not_honor generic_decline call_issuer no_action_taken not_permitted service_not_allowed",
}
ROWS = [(code, expected) for expected, codes in TABLE.items() for code in codes.split()]


@pytest.mark.parametrize(("code", "expected"), ROWS)
def test_a_decline_code_says_what_to_do_next(code: str, expected: DeclineClass):
    assert classify(Decline(code="card_declined", decline_code=code)) is expected


@pytest.mark.parametrize(("code", "expected"), ROWS)
def test_an_error_code_counts_where_there_is_no_decline_code(code: str, expected: DeclineClass):
    assert classify(Decline(code=code)) is expected


@pytest.mark.parametrize(
    "decline", [Decline(), Decline(code="card_declined"), Decline(decline_code="code_of_next_year"), CANCELED]
)
def test_a_refusal_without_a_known_reason_is_ambiguous(decline: Decline):
    assert classify(decline) is AMBIGUOUS


@pytest.mark.parametrize("code", "04 07 12 14 15 41 43 46 57 R0 R1 R3".split())
def test_a_card_that_the_network_ruled_out_is_never_asked_again_whatever_else_is_said(code: str):
    lied = Decline(decline_code="insufficient_funds", advice_code="try_again_later", network_decline_code=code)
    assert classify(lied) is NEVER


@pytest.mark.parametrize("code", ["51", "05", "61", "91"])
def test_other_codes_of_the_network_leave_the_word_to_the_next_signal(code: str):
    assert classify(Decline(decline_code="insufficient_funds", network_decline_code=code)) is TIMED


@pytest.mark.parametrize(
    ("advice", "expected"),
    [("01", CUSTOMER), ("02", TIMED), ("03", NEVER), ("21", NEVER), ("24", SOON), ("25", SOON)]
    + [(code, TIMED) for code in ("26", "27", "28", "29", "30")],
)
def test_the_networks_advice_beats_the_providers_and_the_issuers(advice: str, expected: DeclineClass):
    decline = Decline(decline_code="do_not_honor", advice_code="confirm_card_data", network_advice_code=advice)
    assert classify(decline) is expected


@pytest.mark.parametrize("network_advice", ["02", "24", "26"])
def test_never_wins_among_the_networks_own_signals(network_advice: str):
    assert classify(Decline(network_decline_code="41", network_advice_code=network_advice)) is NEVER


@pytest.mark.parametrize(
    ("advice", "decline_code", "expected"),
    [
        ("do_not_try_again", "insufficient_funds", NEVER),
        ("do_not_try_again", "do_not_honor", NEVER),
        ("confirm_card_data", "generic_decline", CUSTOMER),
        ("try_again_later", "fraudulent", SOON),
        ("try_again_later", "expired_card", SOON),
        ("try_again_later", None, SOON),
        ("advice_of_next_year", "lost_card", NEVER),
    ],
)
def test_the_providers_advice_beats_the_decline_code(advice: str, decline_code: str | None, expected: DeclineClass):
    assert classify(Decline(code="card_declined", decline_code=decline_code, advice_code=advice)) is expected


@pytest.mark.parametrize(
    ("decline_code", "expected"),
    [("insufficient_funds", TIMED), ("generic_decline", AMBIGUOUS), ("processing_error", SOON)],
)
def test_try_again_later_says_whether_and_a_soft_decline_code_says_when(decline_code: str, expected: DeclineClass):
    assert classify(Decline(decline_code=decline_code, advice_code="try_again_later")) is expected


def test_only_soft_classes_may_be_asked_again_on_the_schedule():
    assert [each for each in DeclineClass if each.is_soft] == [SOON, TIMED, AMBIGUOUS]
