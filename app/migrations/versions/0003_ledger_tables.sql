-- The ledger: double entry, append-only, enforced here and not by whoever calls.
--
-- Signs: an entry's amount is positive where the account is credited and negative where it is
-- debited; what we owe (wallets, merchants, fees) is positive, what others hold for us (gateway
-- clearing) is negative. A transfer's entries sum to zero in each currency.
--
-- Locks: transfer keys first (sorted), then missing accounts (sorted), then all accounts of the
-- call in id order, FOR NO KEY UPDATE (FOR UPDATE would conflict with the foreign keys' FOR KEY
-- SHARE and deadlock). A transaction therefore calls the ledger once, with all its transfers.
--
-- Rights: the functions run as their owner. The app may execute them and read; it cannot write an
-- entry or a balance in any other way, so a bug in it can post a wrong transfer but not a
-- half one.

CREATE TABLE payments.currencies (
    code text NOT NULL,
    exponent smallint NOT NULL,
    kind text NOT NULL,
    CONSTRAINT pk_currencies PRIMARY KEY (code),
    CONSTRAINT ck_currencies_code CHECK (code ~ '^[A-Z][A-Z0-9]{2,11}$'),
    CONSTRAINT ck_currencies_exponent CHECK (exponent BETWEEN 0 AND 18),
    CONSTRAINT ck_currencies_kind CHECK (kind IN ('iso', 'token', 'crypto'))
);

CREATE TABLE payments.ledger_purposes (
    purpose text NOT NULL,
    normal_side text NOT NULL,
    floor bigint,
    shards smallint NOT NULL DEFAULT 1,
    description text NOT NULL,
    CONSTRAINT pk_ledger_purposes PRIMARY KEY (purpose),
    CONSTRAINT ck_ledger_purposes_purpose CHECK (purpose ~ '^[a-z][a-z_]{1,39}$'),
    CONSTRAINT ck_ledger_purposes_normal_side CHECK (normal_side IN ('debit', 'credit')),
    -- A floor holds for one row; an account in several rows cannot have one.
    CONSTRAINT ck_ledger_purposes_shards CHECK (shards BETWEEN 1 AND 64 AND (shards = 1 OR floor IS NULL))
);

CREATE TABLE payments.ledger_accounts (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    public_id uuid NOT NULL DEFAULT gen_random_uuid(),
    owner text NOT NULL,
    purpose text NOT NULL,
    currency text NOT NULL,
    shard smallint NOT NULL DEFAULT 0,
    floor bigint,
    balance bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_ledger_accounts PRIMARY KEY (id),
    CONSTRAINT uq_ledger_accounts_public_id UNIQUE (public_id),
    CONSTRAINT uq_ledger_accounts_owner_purpose_currency_shard UNIQUE (owner, purpose, currency, shard),
    CONSTRAINT uq_ledger_accounts_id_currency UNIQUE (id, currency),
    CONSTRAINT fk_ledger_accounts_purpose_ledger_purposes FOREIGN KEY (purpose) REFERENCES payments.ledger_purposes (purpose),
    CONSTRAINT fk_ledger_accounts_currency_currencies FOREIGN KEY (currency) REFERENCES payments.currencies (code),
    CONSTRAINT ck_ledger_accounts_owner CHECK (length(owner) BETWEEN 1 AND 120),
    CONSTRAINT ck_ledger_accounts_held CHECK (held >= 0),
    CONSTRAINT ck_ledger_accounts_floor CHECK (floor IS NULL OR balance - held >= floor),
    CONSTRAINT ck_ledger_accounts_balance CHECK (balance BETWEEN -9007199254740991 AND 9007199254740991)
) WITH (fillfactor = 70);

CREATE TABLE payments.ledger_holds (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    key text NOT NULL,
    digest bytea NOT NULL,
    account_id bigint NOT NULL,
    amount bigint NOT NULL,
    captured bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'held',
    subject text,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT pk_ledger_holds PRIMARY KEY (id),
    CONSTRAINT uq_ledger_holds_key UNIQUE (key),
    CONSTRAINT fk_ledger_holds_account_id_ledger_accounts FOREIGN KEY (account_id) REFERENCES payments.ledger_accounts (id),
    CONSTRAINT ck_ledger_holds_key CHECK (length(key) BETWEEN 1 AND 200),
    CONSTRAINT ck_ledger_holds_amount CHECK (amount > 0),
    CONSTRAINT ck_ledger_holds_captured CHECK (captured BETWEEN 0 AND amount),
    CONSTRAINT ck_ledger_holds_state CHECK (state IN ('held', 'posted', 'voided', 'expired')),
    CONSTRAINT ck_ledger_holds_ended_at CHECK ((state = 'held') = (ended_at IS NULL))
);
CREATE INDEX ix_ledger_holds_expires_at ON payments.ledger_holds (expires_at) WHERE state = 'held';
CREATE INDEX ix_ledger_holds_account_id ON payments.ledger_holds (account_id) WHERE state = 'held';

CREATE TABLE payments.ledger_transfers (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    key text NOT NULL,
    digest bytea NOT NULL,
    kind text NOT NULL,
    subject text,
    reverses uuid,
    hold_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_ledger_transfers PRIMARY KEY (id),
    CONSTRAINT uq_ledger_transfers_key UNIQUE (key),
    CONSTRAINT uq_ledger_transfers_reverses UNIQUE (reverses),
    CONSTRAINT uq_ledger_transfers_hold_id UNIQUE (hold_id),
    CONSTRAINT fk_ledger_transfers_reverses_ledger_transfers FOREIGN KEY (reverses) REFERENCES payments.ledger_transfers (id),
    CONSTRAINT fk_ledger_transfers_hold_id_ledger_holds FOREIGN KEY (hold_id) REFERENCES payments.ledger_holds (id),
    CONSTRAINT ck_ledger_transfers_key CHECK (length(key) BETWEEN 1 AND 200),
    CONSTRAINT ck_ledger_transfers_kind CHECK (kind ~ '^[a-z][a-z_.]{1,39}$')
);
CREATE INDEX ix_ledger_transfers_subject ON payments.ledger_transfers (subject);

CREATE TABLE payments.ledger_entries (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    transfer_id uuid NOT NULL,
    account_id bigint NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- A statement reads one account's entries in order; a number of one account only grows,
    -- because it is taken under the account's lock.
    CONSTRAINT pk_ledger_entries PRIMARY KEY (account_id, id),
    CONSTRAINT uq_ledger_entries_transfer_id_account_id UNIQUE (transfer_id, account_id),
    CONSTRAINT fk_ledger_entries_transfer_id_ledger_transfers FOREIGN KEY (transfer_id) REFERENCES payments.ledger_transfers (id),
    -- With the currency: an entry cannot be in another one than its account.
    CONSTRAINT fk_ledger_entries_account_id_currency_ledger_accounts FOREIGN KEY (account_id, currency) REFERENCES payments.ledger_accounts (id, currency),
    CONSTRAINT ck_ledger_entries_amount CHECK (amount <> 0 AND amount BETWEEN -9007199254740991 AND 9007199254740991)
);

INSERT INTO payments.ledger_purposes (purpose, normal_side, floor, shards, description) VALUES
    ('wallet', 'credit', 0, 1, 'what we owe a customer; never below zero'),
    ('receivable', 'debit', NULL, 1, 'what a customer owes us: refunds of money already spent'),
    ('gateway_clearing', 'debit', NULL, 8, 'money that a gateway has taken and not yet paid out'),
    ('merchant', 'credit', NULL, 8, 'what we owe a merchant for what was sold'),
    ('fees', 'credit', NULL, 8, 'what we keep'),
    ('suspense', 'credit', NULL, 1, 'money that came and fits no order; a person decides');
