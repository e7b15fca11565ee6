-- How far reconciliation has come, and what it could not do for one payment alone.

-- A run that only looked covers nothing; `asked` counts what was asked about beside the list.
ALTER TABLE payments.reconciliation_runs
    ADD COLUMN repair boolean NOT NULL DEFAULT true,
    ADD COLUMN asked integer NOT NULL DEFAULT 0;

ALTER TABLE payments.reconciliation_differences
    DROP CONSTRAINT ck_reconciliation_differences_kind,
    ADD CONSTRAINT ck_reconciliation_differences_kind CHECK (
        kind IN ('unknown_here', 'unpaid_here', 'unpaid_there', 'amount', 'refunded', 'fee_currency', 'error'))
        NOT VALID;
ALTER TABLE payments.reconciliation_differences VALIDATE CONSTRAINT ck_reconciliation_differences_kind;

-- Payments that have no end yet are few, whatever lies in the table; each night asks about them.
CREATE INDEX ix_payments_without_end ON payments.payments (created_at) WHERE status IN ('open', 'processing');
