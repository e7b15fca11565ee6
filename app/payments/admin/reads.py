"""Reading for admins. Every function works in the caller's transaction and changes nothing."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Row, Select, Text, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from payments.admin.views import (
    AccountRow,
    AuditRow,
    Chain,
    Change,
    Count,
    Entry,
    Overview,
    PaymentDetail,
    PaymentRow,
    UserRow,
    WebhookRow,
)
from payments.errors import NotFoundError
from payments.inbox.models import InboxRow
from payments.inbox.service import REPLAYABLE
from payments.ledger.models import Account, EntryRow, TransferRow
from payments.orders.models import Order, Payment, StatusChange
from payments.paging import Page, moment, page, row_number
from payments.people import audit, models
from payments.worker.invariants import WAITING, check_recent

WORKER_SILENT_SECONDS: Final = 60.0
"""The worker's runner beats every ten seconds."""

_WORKER: Final = text(
    "SELECT max(last_heartbeat) AS seen,"
    " COALESCE(max(last_heartbeat) > now() - make_interval(secs => :silent), false) AS alive"
    " FROM payments.procrastinate_workers"
)
_JOBS: Final = text(
    "SELECT count(*) FILTER (WHERE status = 'todo'"
    " AND COALESCE(scheduled_at, now()) < now() - interval '1 minute') AS late,"
    " count(*) FILTER (WHERE status = 'failed') AS failed FROM payments.procrastinate_jobs"
)


async def overview(session: AsyncSession) -> Overview:
    """Ask how everything is; today begins at midnight UTC."""
    today = func.date_trunc("day", func.now(), "UTC")
    counts = await session.execute(
        select(Payment.status, Payment.currency, func.count(), func.sum(Payment.amount))
        .where(Payment.created_at >= today)
        .group_by(Payment.status, Payment.currency)
        .order_by(Payment.status, Payment.currency)
    )
    states = await session.execute(
        select(InboxRow.state, func.count()).group_by(InboxRow.state).order_by(InboxRow.state)
    )
    worker = (await session.execute(_WORKER, {"silent": WORKER_SILENT_SECONDS})).one()
    waiting_jobs = (await session.execute(_JOBS)).one()
    return Overview(
        payments_today=[
            Count(status=status, currency=currency, number=number, amount=int(amount))
            for status, currency, number, amount in counts
        ],
        webhooks={row[0]: row[1] for row in states},
        waiting={name: await _number(session, query) for name, query in WAITING.items()},
        violations=await check_recent(session),
        worker_seen=worker.seen,
        worker_alive=worker.alive,
        jobs_late=waiting_jobs.late,
        jobs_failed=waiting_jobs.failed,
    )


async def _number(session: AsyncSession, query: str) -> int:
    number: int = (await session.execute(text(query))).scalar_one()
    return number


async def payments(
    session: AsyncSession, *, status: str | None, cursor: str | None, limit: int
) -> Page[PaymentRow]:
    """List payments, newest first, all or those in one status."""
    query = _payments()
    if status is not None:
        query = query.where(Payment.status == status)
    return await page(
        session,
        query,
        order=(Payment.created_at, Payment.id),
        parse=(moment, UUID),
        cursor=cursor,
        limit=limit,
        view=_payment,
    )


async def payment(session: AsyncSession, payment_id: UUID) -> PaymentDetail:
    """Return one payment with its history; raises `NotFoundError`."""
    row = (await session.execute(_payments().where(Payment.id == payment_id))).one_or_none()
    if row is None:
        raise NotFoundError("There is no such payment.")
    held: Payment = row[0]
    changes = await session.scalars(
        select(StatusChange)
        .where(StatusChange.entity_id.in_((held.id, held.order_id)))
        .order_by(StatusChange.id)
    )
    events = await session.scalars(
        select(InboxRow).where(InboxRow.payment_id == held.id).order_by(InboxRow.id)
    )
    entries = await session.execute(
        select(EntryRow, TransferRow.kind, Account.owner, Account.purpose)
        .join(TransferRow, TransferRow.id == EntryRow.transfer_id)
        .join(Account, Account.id == EntryRow.account_id)
        .where(TransferRow.subject == f"order:{held.order_id}")
        .order_by(EntryRow.id)
    )
    return PaymentDetail(
        payment=_payment(row),
        order_status=row[1].status,
        checkout_ref=held.checkout_ref,
        payment_ref=held.payment_ref,
        checks=held.checks,
        next_check_at=held.next_check_at,
        last_error=held.last_error,
        expires_at=held.expires_at,
        changes=[_change(change) for change in changes],
        webhooks=[webhook_view(event) for event in events],
        entries=[_entry(*entry) for entry in entries],
    )


def _payments() -> Select[Payment, Order]:
    return select(Payment, Order).join(Order, Order.id == Payment.order_id)


def _payment(row: Row[Payment, Order]) -> PaymentRow:
    held, order = row[0], row[1]
    return PaymentRow(
        id=held.id,
        order_id=order.id,
        customer_id=order.customer_id,
        description=order.description,
        gateway=held.gateway,
        status=held.status,
        currency=held.currency,
        amount=held.amount,
        captured=held.captured,
        refunded=held.refunded,
        created_at=held.created_at,
    )


def _change(change: StatusChange) -> Change:
    return Change(
        entity=change.entity,
        before=change.from_status,
        after=change.to_status,
        applied=change.applied,
        cause=change.cause,
        at=change.created_at,
    )


def _entry(entry: EntryRow, kind: str, owner: str, purpose: str) -> Entry:
    return Entry(
        transfer_id=entry.transfer_id,
        kind=kind,
        owner=owner,
        purpose=purpose,
        currency=entry.currency,
        amount=entry.amount,
        at=entry.created_at,
    )


async def webhooks(
    session: AsyncSession, *, state: str | None, cursor: str | None, limit: int
) -> Page[WebhookRow]:
    """List the inbox, newest first: all, those in one state, or (`stuck`) those to be looked at."""
    query = select(InboxRow)
    if state == "stuck":
        query = query.where(InboxRow.state.in_(REPLAYABLE))
    elif state is not None:
        query = query.where(InboxRow.state == state)
    return await page(
        session,
        query,
        order=(InboxRow.id,),
        parse=(row_number,),
        cursor=cursor,
        limit=limit,
        view=lambda row: webhook_view(row[0]),
    )


def webhook_view(row: InboxRow) -> WebhookRow:
    """Return an event as an admin sees it."""
    return WebhookRow(
        id=row.id,
        provider=row.provider,
        event_key=row.event_key,
        event_type=row.event_type,
        state=row.state,
        reason=row.reason,
        attempts=row.attempts,
        payment_id=row.payment_id,
        received_at=row.received_at,
        handled_at=row.handled_at,
        next_attempt_at=row.next_attempt_at,
        replayable=row.state in REPLAYABLE,
    )


async def users(
    session: AsyncSession, *, email: str | None, cursor: str | None, limit: int
) -> Page[UserRow]:
    """List people, newest first; with `email` those whose address contains it."""
    query = select(models.UserRow)
    if email:
        query = query.where(models.UserRow.email.contains(email.lower(), autoescape=True))
    return await page(
        session,
        query,
        order=(models.UserRow.created_at, models.UserRow.id),
        parse=(moment, UUID),
        cursor=cursor,
        limit=limit,
        view=lambda row: UserRow(
            id=row[0].id,
            email=row[0].email,
            role=row[0].role,
            locked_at=row[0].disabled_at,
            created_at=row[0].created_at,
        ),
    )


async def audit_log(session: AsyncSession, *, cursor: str | None, limit: int) -> Page[AuditRow]:
    """List the audit log, newest first."""
    person = models.UserRow
    return await page(
        session,
        select(models.AuditRow, person.email).outerjoin(
            person, cast(person.id, Text) == models.AuditRow.actor
        ),
        order=(models.AuditRow.id,),
        parse=(row_number,),
        cursor=cursor,
        limit=limit,
        view=lambda row: AuditRow(
            id=row[0].id,
            at=row[0].at,
            actor=row[0].actor,
            actor_email=row[1],
            action=row[0].action,
            subject=row[0].subject,
            detail=row[0].detail,
            digest=row[0].digest.hex(),
        ),
    )


async def chain(session: AsyncSession) -> Chain:
    """Walk the whole audit chain."""
    found = await audit.verify(session)
    if found is None:
        return Chain(holds=True)
    return Chain(holds=False, broken_at=found.id, reason=found.reason)


async def accounts(
    session: AsyncSession, *, purpose: str | None, cursor: str | None, limit: int
) -> Page[AccountRow]:
    """List accounts of the ledger, newest first, all or those of one purpose."""
    query = select(Account)
    if purpose is not None:
        query = query.where(Account.purpose == purpose)
    return await page(
        session,
        query,
        order=(Account.id,),
        parse=(row_number,),
        cursor=cursor,
        limit=limit,
        view=lambda row: AccountRow(
            id=row[0].public_id,
            owner=row[0].owner,
            purpose=row[0].purpose,
            currency=row[0].currency,
            shard=row[0].shard,
            balance=row[0].balance,
            held=row[0].held,
        ),
    )
