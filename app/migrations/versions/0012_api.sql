-- Programs that call the API, and the addresses that are told what happens.

CREATE TABLE payments.api_keys (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    name text NOT NULL,
    -- What a person sees of it; the key itself is only ever kept as a digest.
    prefix text NOT NULL,
    digest bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    last_used_on date,
    revoked_at timestamptz,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT uq_api_keys_digest UNIQUE (digest),
    CONSTRAINT ck_api_keys_name CHECK (length(name) BETWEEN 1 AND 80),
    CONSTRAINT ck_api_keys_digest CHECK (length(digest) = 32),
    CONSTRAINT ck_api_keys_scopes CHECK (cardinality(scopes) BETWEEN 1 AND 20)
);
CREATE INDEX ix_api_keys_customer_id ON payments.api_keys (customer_id);

CREATE TABLE payments.webhook_endpoints (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    url text NOT NULL,
    events text[] NOT NULL,
    -- Sealed with the service's key: they sign, so a digest would not do.
    secret bytea NOT NULL,
    old_secret bytea,
    old_secret_until timestamptz,
    enabled boolean NOT NULL DEFAULT true,
    disabled_reason text,
    failing_since timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_webhook_endpoints PRIMARY KEY (id),
    CONSTRAINT ck_webhook_endpoints_url CHECK (url ~ '^https?://' AND length(url) <= 500),
    CONSTRAINT ck_webhook_endpoints_old_secret CHECK ((old_secret IS NULL) = (old_secret_until IS NULL))
);
CREATE INDEX ix_webhook_endpoints_customer_id ON payments.webhook_endpoints (customer_id);

CREATE TABLE payments.webhook_messages (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_webhook_messages PRIMARY KEY (id)
);

CREATE TABLE payments.webhook_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    message_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    answer integer,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
    CONSTRAINT uq_webhook_deliveries_message_id_endpoint_id UNIQUE (message_id, endpoint_id),
    CONSTRAINT fk_webhook_deliveries_message_id_webhook_messages FOREIGN KEY (message_id)
        REFERENCES payments.webhook_messages (id),
    CONSTRAINT fk_webhook_deliveries_endpoint_id_webhook_endpoints FOREIGN KEY (endpoint_id)
        REFERENCES payments.webhook_endpoints (id),
    CONSTRAINT ck_webhook_deliveries_state CHECK (state IN ('waiting', 'delivered', 'failed')),
    CONSTRAINT ck_webhook_deliveries_next CHECK ((state = 'waiting') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX ix_webhook_deliveries_endpoint_id_id ON payments.webhook_deliveries (endpoint_id, id);
CREATE INDEX ix_webhook_deliveries_next_attempt_at ON payments.webhook_deliveries (next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
