-- Money that gateways take back, what they pay out to us, and what we pay out to merchants.

-- What is disputed or lost of a payment: it cannot be refunded as well.
ALTER TABLE payments.payments ADD COLUMN disputed bigint NOT NULL DEFAULT 0;
ALTER TABLE payments.payments ADD CONSTRAINT ck_payments_disputed CHECK (disputed >= 0);

CREATE TABLE payments.disputes (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    payment_id uuid NOT NULL,
    gateway text NOT NULL,
    account text NOT NULL,
    dispute_ref text NOT NULL,
    status text NOT NULL DEFAULT 'open',
    currency text NOT NULL,
    amount bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_disputes PRIMARY KEY (id),
    CONSTRAINT uq_disputes_gateway_account_dispute_ref UNIQUE (gateway, account, dispute_ref),
    CONSTRAINT fk_disputes_payment_id_payments FOREIGN KEY (payment_id) REFERENCES payments.payments (id),
    CONSTRAINT fk_disputes_currency_currencies FOREIGN KEY (currency) REFERENCES payments.currencies (code),
    CONSTRAINT ck_disputes_amount CHECK (amount BETWEEN 1 AND 9007199254740991),
    CONSTRAINT ck_disputes_status CHECK (status IN ('open', 'won', 'lost'))
);
CREATE INDEX ix_disputes_payment_id ON payments.disputes (payment_id);
CREATE TRIGGER disputes_forward_only BEFORE UPDATE OF status ON payments.disputes
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION payments.refuse_backward_move('dispute');

-- What a gateway has sent to our bank.
CREATE TABLE payments.gateway_payouts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    gateway text NOT NULL,
    account text NOT NULL,
    payout_ref text NOT NULL,
    status text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_gateway_payouts PRIMARY KEY (id),
    CONSTRAINT uq_gateway_payouts_gateway_account_payout_ref UNIQUE (gateway, account, payout_ref),
    CONSTRAINT fk_gateway_payouts_currency_currencies FOREIGN KEY (currency) REFERENCES payments.currencies (code),
    CONSTRAINT ck_gateway_payouts_amount CHECK (amount BETWEEN 1 AND 9007199254740991),
    CONSTRAINT ck_gateway_payouts_status CHECK (status IN ('paid', 'failed'))
);

-- What we pay out to a merchant. Whoever asks for it does not approve it.
CREATE TABLE payments.payouts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    merchant text NOT NULL,
    request_key text NOT NULL,
    status text NOT NULL DEFAULT 'requested',
    currency text NOT NULL,
    amount bigint NOT NULL,
    requested_by text NOT NULL,
    approved_by text,
    bank_ref text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_payouts PRIMARY KEY (id),
    CONSTRAINT uq_payouts_request_key UNIQUE (request_key),
    CONSTRAINT fk_payouts_currency_currencies FOREIGN KEY (currency) REFERENCES payments.currencies (code),
    CONSTRAINT ck_payouts_amount CHECK (amount BETWEEN 1 AND 9007199254740991),
    CONSTRAINT ck_payouts_status CHECK (status IN ('requested', 'declined', 'approved', 'settled', 'failed')),
    CONSTRAINT ck_payouts_two_people CHECK (approved_by IS NULL OR approved_by <> requested_by),
    CONSTRAINT ck_payouts_approved CHECK (status IN ('requested', 'declined') OR approved_by IS NOT NULL)
);
CREATE INDEX ix_payouts_merchant_created_at ON payments.payouts (merchant, created_at);
CREATE TRIGGER payouts_forward_only BEFORE UPDATE OF status ON payments.payouts
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION payments.refuse_backward_move('payout');

INSERT INTO payments.status_moves (entity, from_status, to_status) VALUES
    ('dispute', 'open', 'won'),
    ('dispute', 'open', 'lost'),
    -- Won on appeal, after it was lost.
    ('dispute', 'lost', 'won'),
    ('payout', 'requested', 'approved'),
    ('payout', 'requested', 'declined'),
    ('payout', 'approved', 'settled'),
    ('payout', 'approved', 'failed');
-- Another payment page was made for an order whose first one can be paid no more.
INSERT INTO payments.status_moves VALUES ('order', 'expired', 'pending');
