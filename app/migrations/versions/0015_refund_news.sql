-- What was given back elsewhere (at a gateway's own pages) follows from what gateways say, whatever
-- comes first: so it is kept (payments.refunds.news).

-- A payment's total at the gateway, at its own time. It may count refunds that are under way.
CREATE TABLE payments.refund_totals (
    payment_id uuid NOT NULL,
    told_at timestamptz NOT NULL,
    amount bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_refund_totals PRIMARY KEY (payment_id, told_at, amount),
    CONSTRAINT fk_refund_totals_payment_id_payments FOREIGN KEY (payment_id) REFERENCES payments.payments (id),
    CONSTRAINT ck_refund_totals_amount CHECK (amount BETWEEN 0 AND 9007199254740991)
);

-- Refunds that are none of ours and came to nothing; once each.
CREATE TABLE payments.refunds_undone (
    payment_id uuid NOT NULL,
    refund_ref text NOT NULL,
    amount bigint NOT NULL,
    failed_at timestamptz NOT NULL,
    CONSTRAINT pk_refunds_undone PRIMARY KEY (payment_id, refund_ref),
    CONSTRAINT fk_refunds_undone_payment_id_payments FOREIGN KEY (payment_id) REFERENCES payments.payments (id),
    CONSTRAINT ck_refunds_undone_amount CHECK (amount BETWEEN 1 AND 9007199254740991)
);

-- When the gateway says that it came to nothing. Empty in rows of earlier releases.
ALTER TABLE payments.refunds ADD COLUMN failed_at timestamptz;

-- A debt is paid once: of two credits at the same time, the second sees that nothing is owed.
ALTER TABLE payments.ledger_accounts ADD CONSTRAINT ck_ledger_accounts_ceiling
    CHECK (purpose <> 'receivable' OR balance <= 0) NOT VALID;
ALTER TABLE payments.ledger_accounts VALIDATE CONSTRAINT ck_ledger_accounts_ceiling;
