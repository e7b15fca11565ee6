-- Disputes that a reconciliation run found are a class of difference of their own.

ALTER TABLE payments.reconciliation_differences
    DROP CONSTRAINT ck_reconciliation_differences_kind,
    ADD CONSTRAINT ck_reconciliation_differences_kind CHECK (
        kind IN ('unknown_here', 'unpaid_here', 'unpaid_there', 'amount', 'refunded', 'dispute', 'fee_currency', 'error'))
        NOT VALID;
ALTER TABLE payments.reconciliation_differences VALIDATE CONSTRAINT ck_reconciliation_differences_kind;
