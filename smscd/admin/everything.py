"""All operations of the admin API, on one instance."""

from __future__ import annotations

from smscd.admin.account_api import AccountResources
from smscd.admin.audit import AuditResources
from smscd.admin.callback_api import CallbackResources
from smscd.admin.carrier_side import carrier_side
from smscd.admin.credential_api import CredentialResources
from smscd.admin.dead_esme_api import EsmeLetterResources
from smscd.admin.dead_letters import DeadLetterResources
from smscd.admin.declaration_api import DeclarationResources
from smscd.admin.desk import Desk
from smscd.admin.key_api import KeyResources
from smscd.admin.ledger_api import LedgerResources
from smscd.admin.messages import MessageResources
from smscd.admin.operator_api import OperatorResources
from smscd.admin.price_api import PriceResources
from smscd.admin.resources import Operation
from smscd.admin.route_api import RouteResources
from smscd.admin.session_api import SessionResources
from smscd.admin.statement_api import StatementResources
from smscd.admin.traffic import Traffic
from smscd.admin.upstream_api import UpstreamResources
from smscd.admin.upstream_trial_api import TrialResources


def operations(desk: Desk) -> list[Operation]:
    """In the order of the document; of two paths that fit a request, the first is meant."""
    return [
        *AccountResources(desk).operations(),
        *KeyResources(desk).operations(),
        *CredentialResources(desk).operations(),
        *StatementResources(desk).operations(),
        *LedgerResources(desk).operations(),
        *UpstreamResources(desk).operations(),
        *TrialResources(desk).operations(),
        *DeclarationResources(desk).operations(),
        *RouteResources(desk).operations(),
        *PriceResources(desk).operations(),
        *Traffic(desk).operations(),
        *MessageResources(desk).operations(),
        *SessionResources(desk).operations(),
        *carrier_side(desk).operations(),
        *DeadLetterResources(desk).operations(),
        *EsmeLetterResources(desk).operations(),
        *OperatorResources(desk).operations(),
        *CallbackResources(desk).operations(),
        *AuditResources(desk).operations(),
    ]
