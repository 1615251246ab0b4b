"""The problems that only the admin API has: their sentences, and what to do, for a page each."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.problems import Code

FORBIDDEN: Final = Code(403, "forbidden", "Forbidden", "The role of this token may not do this.")
_CONFLICT: Final = "Conflict"
_INVALID: Final = "Unprocessable Content"

CODES: Final[tuple[tuple[Code, str], ...]] = (
    (
        Code(409, "account_exists", _CONFLICT, "There is an account of this name already."),
        "Take another name, or change the one that is there with PATCH.",
    ),
    (
        Code(409, "credential_exists", _CONFLICT, "The system_id is taken, by this account or another."),
        "Choose another system_id, or rotate the password of the one that is there.",
    ),
    (
        Code(409, "another_currency", _CONFLICT, "The price plan is in another currency."),
        "Import these prices into a plan of their own, and give accounts of that currency this plan.",
    ),
    (
        Code(409, "too_many_keys", _CONFLICT, "The account has as many valid keys as it may."),
        "Revoke one that nobody uses: `smscd key list` shows when each was used last.",
    ),
    (
        Code(409, "key_not_valid", _CONFLICT, "The key has expired or was revoked, so that none can take its place."),
        "Make a new one: POST /admin/v1/accounts/{account}/keys or `smscd key create`.",
    ),
    (
        Code(409, "last_network", _CONFLICT, "Without its last network the door would be open to everybody."),
        "Put the whole list, an empty one where that is what is meant: PUT /admin/v1/accounts/{account}/networks.",
    ),
    (
        Code(404, "no_price", "Not Found", "The list has no price for this number at that moment."),
        "Import one: for its prefix, or for * which is every number.",
    ),
    (
        Code(409, "not_answered", _CONFLICT, "A worker that lives did not answer in time."),
        "It may have been done: look again, and repeat it when it was not.",
    ),
    (
        Code(409, "already_closed", _CONFLICT, "The dead letter was closed before."),
        "There is nothing more to do; ?closed=true lists it, with who closed it.",
    ),
    (
        Code(409, "operator_exists", _CONFLICT, "There is, or was, an operator of this name."),
        "A name is given once, so that in the log it means one person: take another.",
    ),
    (
        Code(409, "too_late", _CONFLICT, "The message was sent, or may have been, or is over."),
        "Nothing can be taken back any more: its timeline says what became of it.",
    ),
    (
        Code(409, "under_way", _CONFLICT, "Another of the same is under way."),
        "One at a time is done over HTTP: ask again when it has ended.",
    ),
    (
        Code(409, "not_finished", _CONFLICT, "It did not end in the time that was given."),
        "Give it more with ?seconds=, ask for one account, or use the command, which takes as long as it takes.",
    ),
    (
        Code(409, "upstream_cannot_send", _CONFLICT, "The upstream has receivers only."),
        "Test an upstream that sends: its bind_mode is transceiver, transmitter or pair.",
    ),
    (
        Code(409, "plan_changed", _CONFLICT, "The plan is not the one that was shown."),
        "Ask for the plan again, look at it, and apply that one.",
    ),
    (
        Code(409, "no_pepper", _CONFLICT, "SMPP passwords are stored under a pepper, and it is not known here."),
        "Ask on the daemon's machine, or set SMSCD_PEPPER to what the daemon has.",
    ),
    (
        FORBIDDEN,
        "Use the token of an operator whose role may: `smscd operator list` shows who has which. The role admin may "
        "do everything.",
    ),
    (
        Code(404, "no_upstream", "Not Found", "There is no upstream of this name."),
        "Look for its name: GET /admin/v1/upstreams or `smscd upstream list`.",
    ),
    (
        Code(409, "upstream_exists", _CONFLICT, "There is an upstream of this name already."),
        "Take another name, or change the one that is there with PATCH.",
    ),
    (
        Code(409, "upstream_has_routes", _CONFLICT, "Routes lead to the upstream."),
        "Take it out of the routes that are named first.",
    ),
    (
        Code(409, "upstream_has_messages", _CONFLICT, "Messages wait for the upstream."),
        "Let them go out first, or remove it with ?force=true; then they wait for an upstream of this name.",
    ),
    (
        Code(409, "upstream_has_receipts_due", _CONFLICT, "Receipts of the upstream may still come."),
        "Leave it bound without a route to it until they have, or remove it with ?force=true.",
    ),
    (
        Code(409, "route_exists", _CONFLICT, "There is a route of this account, prefix and name already."),
        "Change it with PUT, or give the new one a name of its own.",
    ),
    (
        Code(422, "not_drainable", _INVALID, "This can be paused, and not drained."),
        "An account is drained by suspending it: all that it submits is refused, and what waits is sent.",
    ),
    (
        Code(409, "below_floor", _CONFLICT, "The order would leave the balance below what the account may owe."),
        "Order less, raise the credit limit, or give the order with force.",
    ),
    (
        Code(409, "reference_reused", _CONFLICT, "The reference is of another order."),
        "Nothing was changed. Give each order a reference of its own; GET it to see what became of the first.",
    ),
    (
        Code(409, "set_aside", _CONFLICT, "The ledger could not take the order as it is."),
        "The balance was moved. Look at GET /admin/v1/dead-letters/journal for the entry, and why.",
    ),
    (
        Code(422, "unknown_entry", _INVALID, "There is no ledger entry of this reference to be corrected."),
        "Look for the reference in the account's transactions.",
    ),
    (
        Code(409, "already_matched", _CONFLICT, "The orphan was matched before."),
        "There is nothing more to do: it names the message that it was matched with.",
    ),
    (
        Code(422, "unknown_message", _INVALID, "There is no message of this id that was sent."),
        "Check the id; it may be older than what the record keeps.",
    ),
    (
        Code(422, "another_upstream", _INVALID, "The message went over another upstream than the receipt came."),
        "Look for the message among those of the receipt's upstream.",
    ),
    (
        Code(409, "not_sent", _CONFLICT, "The message is not recorded as sent."),
        "When it is in doubt, rule on it: POST /admin/v1/doubts/resend or /fail.",
    ),
)
