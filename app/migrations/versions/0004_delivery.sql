-- What makes a request or a delivery count once.

-- A POST that moves money reserves its key here first, in a transaction of its own.
CREATE TABLE payments.idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    operation text NOT NULL,
    request_hash bytea NOT NULL,
    state text NOT NULL DEFAULT 'running',
    -- Who runs it: a stale run is taken over by giving it another token, so that the first runner,
    -- should it still live, cannot finish.
    token uuid NOT NULL DEFAULT gen_random_uuid(),
    lease_until timestamptz NOT NULL,
    status smallint,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (principal, key),
    CONSTRAINT ck_idempotency_keys_key CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT ck_idempotency_keys_state CHECK (state IN ('running', 'done')),
    CONSTRAINT ck_idempotency_keys_answer CHECK (
        (state = 'done') = (status IS NOT NULL AND headers IS NOT NULL AND body IS NOT NULL AND finished_at IS NOT NULL)),
    -- Money is asked about for weeks: a key must not be free again before that.
    CONSTRAINT ck_idempotency_keys_expires_at CHECK (expires_at >= created_at + interval '30 days')
);
CREATE INDEX ix_idempotency_keys_expires_at ON payments.idempotency_keys (expires_at);

-- Every verified delivery of a gateway, once: its row and its effect are one transaction. `event` is
-- what we understood of it, not what was sent: no raw message of a gateway is kept.
CREATE TABLE payments.webhook_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    event_key text NOT NULL,
    event_type text NOT NULL,
    event jsonb NOT NULL,
    payment_id uuid,
    state text NOT NULL,
    reason text,
    attempts integer NOT NULL DEFAULT 1,
    next_attempt_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    handled_at timestamptz,
    CONSTRAINT pk_webhook_inbox PRIMARY KEY (id),
    CONSTRAINT uq_webhook_inbox_provider_account_event_key UNIQUE (provider, account, event_key),
    CONSTRAINT ck_webhook_inbox_event_key CHECK (length(event_key) BETWEEN 1 AND 300),
    CONSTRAINT ck_webhook_inbox_state CHECK (
        state IN ('applied', 'refused', 'ignored', 'parked', 'failed', 'abandoned')),
    CONSTRAINT ck_webhook_inbox_next_attempt_at CHECK (
        (state IN ('parked', 'failed')) = (next_attempt_at IS NOT NULL))
);
CREATE INDEX ix_webhook_inbox_next_attempt_at ON payments.webhook_inbox (next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX ix_webhook_inbox_payment_id ON payments.webhook_inbox (payment_id);
