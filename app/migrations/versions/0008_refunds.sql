-- Refunds that we ask for, each persisted with its key before the gateway is asked.

ALTER TABLE payments.status_moves DROP CONSTRAINT ck_status_moves_entity;
ALTER TABLE payments.status_moves ADD CONSTRAINT ck_status_moves_entity
    CHECK (entity IN ('order', 'payment', 'refund', 'dispute', 'payout'));
ALTER TABLE payments.status_changes DROP CONSTRAINT ck_status_changes_entity;
ALTER TABLE payments.status_changes ADD CONSTRAINT ck_status_changes_entity
    CHECK (entity IN ('order', 'payment', 'refund', 'dispute', 'payout'));

-- What our own refunds may still take, or have taken: the rule that no two of them give back more
-- than came, however many are asked for at once. `refunded` says what is booked, whoever asked.
ALTER TABLE payments.payments ADD COLUMN refund_reserved bigint NOT NULL DEFAULT 0;
ALTER TABLE payments.payments ADD CONSTRAINT ck_payments_refund_reserved
    CHECK (refund_reserved BETWEEN 0 AND captured);

CREATE TABLE payments.refunds (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    payment_id uuid NOT NULL,
    request_key text NOT NULL,
    requested_by text NOT NULL,
    reason text NOT NULL,
    status text NOT NULL DEFAULT 'intended',
    gateway_key text NOT NULL,
    request jsonb NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    refund_ref text,
    checks integer NOT NULL DEFAULT 0,
    next_check_at timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- When the gateway says that it came back after all (its own time, not ours).
    returned_at timestamptz,
    CONSTRAINT pk_refunds PRIMARY KEY (id),
    CONSTRAINT uq_refunds_request_key UNIQUE (request_key),
    CONSTRAINT uq_refunds_gateway_key UNIQUE (gateway_key),
    CONSTRAINT uq_refunds_payment_id_refund_ref UNIQUE (payment_id, refund_ref),
    CONSTRAINT fk_refunds_payment_id_payments FOREIGN KEY (payment_id) REFERENCES payments.payments (id),
    CONSTRAINT fk_refunds_currency_currencies FOREIGN KEY (currency) REFERENCES payments.currencies (code),
    CONSTRAINT ck_refunds_amount CHECK (amount BETWEEN 1 AND 9007199254740991),
    CONSTRAINT ck_refunds_reason CHECK (length(reason) BETWEEN 1 AND 200),
    CONSTRAINT ck_refunds_status CHECK (
        status IN ('intended', 'unknown', 'pending', 'remote_failed', 'succeeded', 'failed', 'returned')),
    CONSTRAINT ck_refunds_returned_at CHECK ((status = 'returned') = (returned_at IS NOT NULL))
);
CREATE INDEX ix_refunds_next_check_at ON payments.refunds (next_check_at) WHERE next_check_at IS NOT NULL;

CREATE TRIGGER refunds_forward_only BEFORE UPDATE OF status ON payments.refunds
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION payments.refuse_backward_move('refund');

INSERT INTO payments.status_moves (entity, from_status, to_status) VALUES
    ('refund', 'intended', 'unknown'),
    ('refund', 'intended', 'pending'),
    ('refund', 'intended', 'remote_failed'),
    ('refund', 'intended', 'succeeded'),
    ('refund', 'intended', 'failed'),
    ('refund', 'unknown', 'pending'),
    ('refund', 'unknown', 'remote_failed'),
    ('refund', 'unknown', 'succeeded'),
    ('refund', 'unknown', 'failed'),
    ('refund', 'pending', 'succeeded'),
    ('refund', 'pending', 'failed'),
    -- It had gone through, and the customer's bank sent it back.
    ('refund', 'succeeded', 'returned');
