-- Subscriptions: what a customer pays for again and again, and the orders that pay for it.

ALTER TABLE payments.status_moves DROP CONSTRAINT ck_status_moves_entity;
ALTER TABLE payments.status_moves ADD CONSTRAINT ck_status_moves_entity
    CHECK (entity IN ('order', 'payment', 'refund', 'dispute', 'payout', 'subscription'));
ALTER TABLE payments.status_changes DROP CONSTRAINT ck_status_changes_entity;
ALTER TABLE payments.status_changes ADD CONSTRAINT ck_status_changes_entity
    CHECK (entity IN ('order', 'payment', 'refund', 'dispute', 'payout', 'subscription'));

CREATE TABLE payments.subscriptions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    request_key text NOT NULL,
    plan text NOT NULL,
    -- A plan that was chosen and whose difference is not paid yet.
    next_plan text,
    currency text NOT NULL,
    amount bigint NOT NULL,
    status text NOT NULL,
    method_ref text,
    gateway text,
    anchor_day smallint NOT NULL,
    period_start timestamptz,
    period_end timestamptz,
    cancel_at_end boolean NOT NULL DEFAULT false,
    -- What a cheaper plan has left over; the next invoices take it.
    credit bigint NOT NULL DEFAULT 0,
    attempts smallint NOT NULL DEFAULT 0,
    next_step_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT pk_subscriptions PRIMARY KEY (id),
    CONSTRAINT uq_subscriptions_request_key UNIQUE (request_key),
    CONSTRAINT fk_subscriptions_currency_currencies FOREIGN KEY (currency) REFERENCES payments.currencies (code),
    CONSTRAINT ck_subscriptions_amount CHECK (amount BETWEEN 1 AND 9007199254740991),
    CONSTRAINT ck_subscriptions_credit CHECK (credit >= 0),
    CONSTRAINT ck_subscriptions_anchor_day CHECK (anchor_day BETWEEN 1 AND 31),
    CONSTRAINT ck_subscriptions_period CHECK (period_end > period_start),
    CONSTRAINT ck_subscriptions_status CHECK (
        status IN ('incomplete', 'expired', 'trialing', 'active', 'past_due', 'paused', 'canceled')),
    CONSTRAINT ck_subscriptions_ended_at CHECK ((status IN ('expired', 'canceled')) = (ended_at IS NOT NULL))
);
CREATE INDEX ix_subscriptions_customer_id ON payments.subscriptions (customer_id);
CREATE INDEX ix_subscriptions_next_step_at ON payments.subscriptions (next_step_at) WHERE next_step_at IS NOT NULL;
-- One subscription of a plan at a time, whoever asks at once.
CREATE UNIQUE INDEX uq_subscriptions_customer_id_plan_live ON payments.subscriptions (customer_id, plan)
    WHERE status NOT IN ('expired', 'canceled');

CREATE TABLE payments.subscription_invoices (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    subscription_id uuid NOT NULL,
    kind text NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    currency text NOT NULL,
    -- The price, of which `credit` was paid before; the order is for the rest.
    amount bigint NOT NULL,
    credit bigint NOT NULL DEFAULT 0,
    order_id uuid,
    status text NOT NULL DEFAULT 'open',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_subscription_invoices PRIMARY KEY (id),
    CONSTRAINT uq_subscription_invoices_order_id UNIQUE (order_id),
    CONSTRAINT uq_subscription_invoices_subscription_id_kind_period_start
        UNIQUE (subscription_id, kind, period_start),
    CONSTRAINT fk_subscription_invoices_subscription_id_subscriptions FOREIGN KEY (subscription_id)
        REFERENCES payments.subscriptions (id),
    CONSTRAINT fk_subscription_invoices_order_id_orders FOREIGN KEY (order_id) REFERENCES payments.orders (id),
    CONSTRAINT fk_subscription_invoices_currency_currencies FOREIGN KEY (currency)
        REFERENCES payments.currencies (code),
    CONSTRAINT ck_subscription_invoices_amount CHECK (amount > 0 AND credit BETWEEN 0 AND amount),
    CONSTRAINT ck_subscription_invoices_kind CHECK (kind IN ('period', 'change')),
    CONSTRAINT ck_subscription_invoices_status CHECK (status IN ('open', 'paid', 'void')),
    CONSTRAINT ck_subscription_invoices_order CHECK (order_id IS NOT NULL OR credit = amount)
);

CREATE TRIGGER subscriptions_known_moves BEFORE UPDATE OF status ON payments.subscriptions
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION payments.refuse_backward_move('subscription');

INSERT INTO payments.status_moves (entity, from_status, to_status) VALUES
    ('subscription', 'incomplete', 'active'),
    ('subscription', 'incomplete', 'expired'),
    ('subscription', 'incomplete', 'canceled'),
    ('subscription', 'trialing', 'active'),
    ('subscription', 'trialing', 'past_due'),
    ('subscription', 'trialing', 'paused'),
    ('subscription', 'trialing', 'canceled'),
    ('subscription', 'active', 'past_due'),
    ('subscription', 'active', 'paused'),
    ('subscription', 'active', 'canceled'),
    ('subscription', 'past_due', 'active'),
    ('subscription', 'past_due', 'canceled'),
    ('subscription', 'paused', 'active'),
    ('subscription', 'paused', 'past_due'),
    ('subscription', 'paused', 'canceled');
