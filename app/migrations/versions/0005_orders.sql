-- Orders, the payments made for them, and the only ways their status may move.

CREATE TABLE payments.status_moves (
    entity text NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL,
    CONSTRAINT pk_status_moves PRIMARY KEY (entity, from_status, to_status),
    CONSTRAINT ck_status_moves_entity CHECK (entity IN ('order', 'payment'))
);

CREATE TABLE payments.orders (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    request_key text NOT NULL,
    sku text NOT NULL,
    description text NOT NULL,
    quantity integer NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    -- How it is booked, as of the day it was ordered: the catalogue may change before it is paid.
    kind text NOT NULL,
    merchant text,
    fee bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    paid_at timestamptz,
    CONSTRAINT pk_orders PRIMARY KEY (id),
    CONSTRAINT uq_orders_request_key UNIQUE (request_key),
    CONSTRAINT fk_orders_currency_currencies FOREIGN KEY (currency) REFERENCES payments.currencies (code),
    CONSTRAINT ck_orders_quantity CHECK (quantity BETWEEN 1 AND 1000),
    CONSTRAINT ck_orders_amount CHECK (amount BETWEEN 1 AND 9007199254740991),
    CONSTRAINT ck_orders_kind CHECK (
        (kind = 'purchase' AND merchant IS NOT NULL) OR (kind = 'top_up' AND merchant IS NULL AND fee = 0)),
    CONSTRAINT ck_orders_fee CHECK (fee BETWEEN 0 AND amount),
    CONSTRAINT ck_orders_status CHECK (status IN (
        'pending', 'remote_failed', 'failed', 'expired', 'review', 'paid', 'partially_refunded', 'refunded')),
    CONSTRAINT ck_orders_paid_at CHECK ((status IN ('paid', 'partially_refunded', 'refunded')) = (paid_at IS NOT NULL))
);
CREATE INDEX ix_orders_customer_id_created_at ON payments.orders (customer_id, created_at);

CREATE TABLE payments.payments (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    order_id uuid NOT NULL,
    gateway text NOT NULL,
    account text NOT NULL,
    status text NOT NULL DEFAULT 'intended',
    -- The key and the exact parameters of the call, committed before it is made.
    gateway_key text NOT NULL,
    request jsonb NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    captured bigint NOT NULL DEFAULT 0,
    refunded bigint NOT NULL DEFAULT 0,
    checkout_ref text,
    checkout_url text,
    payment_ref text,
    expires_at timestamptz NOT NULL,
    checks integer NOT NULL DEFAULT 0,
    next_check_at timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_payments PRIMARY KEY (id),
    CONSTRAINT uq_payments_gateway_key UNIQUE (gateway_key),
    CONSTRAINT uq_payments_gateway_account_checkout_ref UNIQUE (gateway, account, checkout_ref),
    CONSTRAINT uq_payments_gateway_account_payment_ref UNIQUE (gateway, account, payment_ref),
    CONSTRAINT fk_payments_order_id_orders FOREIGN KEY (order_id) REFERENCES payments.orders (id),
    CONSTRAINT fk_payments_currency_currencies FOREIGN KEY (currency) REFERENCES payments.currencies (code),
    CONSTRAINT ck_payments_amount CHECK (amount BETWEEN 1 AND 9007199254740991),
    CONSTRAINT ck_payments_captured CHECK (captured BETWEEN 0 AND amount),
    CONSTRAINT ck_payments_refunded CHECK (refunded BETWEEN 0 AND captured),
    CONSTRAINT ck_payments_status CHECK (status IN (
        'intended', 'unknown', 'remote_failed', 'open', 'processing', 'failed', 'expired', 'review', 'paid',
        'partially_refunded', 'refunded')),
    -- Paid means the whole amount, and nothing less is ever called paid.
    CONSTRAINT ck_payments_paid CHECK (
        (status IN ('paid', 'partially_refunded', 'refunded')) = (captured = amount))
);
CREATE INDEX ix_payments_order_id ON payments.payments (order_id);
CREATE INDEX ix_payments_next_check_at ON payments.payments (next_check_at) WHERE next_check_at IS NOT NULL;

-- What was tried, done or refused: a late event is kept, not obeyed.
CREATE TABLE payments.status_changes (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    entity text NOT NULL,
    entity_id uuid NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL,
    applied boolean NOT NULL,
    cause text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_status_changes PRIMARY KEY (id),
    CONSTRAINT ck_status_changes_entity CHECK (entity IN ('order', 'payment'))
);
CREATE INDEX ix_status_changes_entity_id ON payments.status_changes (entity_id);

CREATE FUNCTION payments.refuse_backward_move() RETURNS trigger
LANGUAGE plpgsql SET search_path = payments, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM status_moves m WHERE m.entity = TG_ARGV[0]
                      AND m.from_status = OLD.status AND m.to_status = NEW.status) THEN
        RAISE EXCEPTION 'a % does not move from % to %', TG_ARGV[0], OLD.status, NEW.status
            USING ERRCODE = 'PL006';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER orders_forward_only BEFORE UPDATE OF status ON payments.orders
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION payments.refuse_backward_move('order');
CREATE TRIGGER payments_forward_only BEFORE UPDATE OF status ON payments.payments
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION payments.refuse_backward_move('payment');

-- A payment's statuses in the order in which they outrank each other; it moves to any higher one,
-- with the exceptions below. So every order of the same events ends in the same status.
INSERT INTO payments.status_moves (entity, from_status, to_status)
SELECT 'payment', a.status, b.status
  FROM unnest(ARRAY['intended', 'unknown', 'remote_failed', 'open', 'processing', 'failed', 'expired', 'review',
                    'paid', 'partially_refunded', 'refunded']) WITH ORDINALITY AS a (status, rank)
  JOIN unnest(ARRAY['intended', 'unknown', 'remote_failed', 'open', 'processing', 'failed', 'expired', 'review',
                    'paid', 'partially_refunded', 'refunded']) WITH ORDINALITY AS b (status, rank)
    ON a.rank < b.rank
 WHERE a.status <> 'review'  -- a person decides
   AND (b.status NOT IN ('partially_refunded', 'refunded') OR a.status IN ('paid', 'partially_refunded'));
INSERT INTO payments.status_moves (entity, from_status, to_status)
SELECT 'order', a.status, b.status
  FROM unnest(ARRAY['pending', 'remote_failed', 'failed', 'expired', 'review', 'paid', 'partially_refunded',
                    'refunded']) WITH ORDINALITY AS a (status, rank)
  JOIN unnest(ARRAY['pending', 'remote_failed', 'failed', 'expired', 'review', 'paid', 'partially_refunded',
                    'refunded']) WITH ORDINALITY AS b (status, rank)
    ON a.rank < b.rank
 WHERE a.status <> 'review'
   AND (b.status NOT IN ('partially_refunded', 'refunded') OR a.status IN ('paid', 'partially_refunded'));
-- The gateway took the order after all, at a later attempt.
INSERT INTO payments.status_moves VALUES ('order', 'remote_failed', 'pending');
