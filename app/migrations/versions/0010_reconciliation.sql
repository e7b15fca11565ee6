-- What holding the gateways' lists against our books has found.

CREATE TABLE payments.reconciliation_runs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    gateway text NOT NULL,
    account text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    -- False where the gateway had more payments than were asked for.
    complete boolean NOT NULL,
    listed integer NOT NULL,
    agreed integer NOT NULL,
    fees_booked integer NOT NULL,
    error text,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_reconciliation_runs PRIMARY KEY (id)
);
CREATE INDEX ix_reconciliation_runs_started_at ON payments.reconciliation_runs (started_at);

CREATE TABLE payments.reconciliation_differences (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    run_id uuid NOT NULL,
    kind text NOT NULL,
    payment_ref text NOT NULL,
    payment_id uuid,
    ours text NOT NULL,
    theirs text NOT NULL,
    repaired boolean NOT NULL,
    CONSTRAINT pk_reconciliation_differences PRIMARY KEY (id),
    CONSTRAINT fk_reconciliation_differences_run_id_reconciliation_runs FOREIGN KEY (run_id)
        REFERENCES payments.reconciliation_runs (id),
    CONSTRAINT ck_reconciliation_differences_kind CHECK (
        kind IN ('unknown_here', 'unpaid_here', 'unpaid_there', 'amount', 'refunded', 'fee_currency'))
);
CREATE INDEX ix_reconciliation_differences_run_id ON payments.reconciliation_differences (run_id);
