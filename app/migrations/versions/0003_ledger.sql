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

-- Append-only, for the owner too.
CREATE FUNCTION payments.ledger_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: correct it with a reversal', TG_TABLE_NAME USING ERRCODE = 'PL005';
END;
$$;
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payments.ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION payments.ledger_refuse_change();
CREATE TRIGGER ledger_transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payments.ledger_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION payments.ledger_refuse_change();

-- Balanced, at commit. One check per transfer sees that it has two entries at least; one per entry
-- sees sums, so that nothing can be added to an old transfer either.
CREATE FUNCTION payments.ledger_check_balanced() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$
DECLARE
    the_transfer uuid := CASE WHEN TG_TABLE_NAME = 'ledger_transfers' THEN (to_jsonb(NEW) ->> 'id')::uuid
                              ELSE (to_jsonb(NEW) ->> 'transfer_id')::uuid END;
BEGIN
    IF TG_TABLE_NAME = 'ledger_transfers'
       AND (SELECT count(*) FROM ledger_entries e WHERE e.transfer_id = the_transfer) < 2 THEN
        RAISE EXCEPTION 'transfer % has fewer than two entries', the_transfer USING ERRCODE = 'PL004';
    END IF;
    IF EXISTS (SELECT FROM ledger_entries e WHERE e.transfer_id = the_transfer
                GROUP BY e.currency HAVING sum(e.amount) <> 0) THEN
        RAISE EXCEPTION 'transfer % does not sum to zero in each currency', the_transfer USING ERRCODE = 'PL004';
    END IF;
    RETURN NULL;
END;
$$;
CREATE CONSTRAINT TRIGGER ledger_transfers_balanced AFTER INSERT ON payments.ledger_transfers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payments.ledger_check_balanced();
CREATE CONSTRAINT TRIGGER ledger_entries_balanced AFTER INSERT ON payments.ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payments.ledger_check_balanced();

-- Writes new transfers; skips those whose key was used for the same transfer before. `the_hold` is
-- released in the same step. Not for the app: the functions below call it.
CREATE FUNCTION payments.ledger_write(transfers jsonb, the_reversed uuid, the_hold payments.ledger_holds)
RETURNS TABLE (posted_key text, posted_id uuid, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$
DECLARE
    item jsonb;
    item_digest bytea;
    earlier ledger_transfers;
    new_ids jsonb := '{}';
    in_transfer uuid[];
    in_owner text[];
    in_purpose text[];
    in_currency text[];
    in_shard smallint[];
    in_amount bigint[];
BEGIN
    FOR item IN SELECT t FROM jsonb_array_elements(transfers) t ORDER BY t ->> 'key' COLLATE "C" LOOP
        item_digest := sha256(convert_to(item::text, 'UTF8'));
        posted_key := item ->> 'key';
        INSERT INTO ledger_transfers (key, digest, kind, subject, reverses, hold_id)
        VALUES (posted_key, item_digest, item ->> 'kind', item ->> 'subject', the_reversed, the_hold.id)
        ON CONFLICT ON CONSTRAINT uq_ledger_transfers_key DO NOTHING
        RETURNING id INTO posted_id;
        replayed := posted_id IS NULL;
        IF replayed THEN
            SELECT * INTO STRICT earlier FROM ledger_transfers t WHERE t.key = posted_key;
            IF earlier.digest <> item_digest THEN
                RAISE EXCEPTION 'the key % belongs to another transfer', posted_key USING ERRCODE = 'PL001';
            END IF;
            posted_id := earlier.id;
        ELSE
            new_ids := new_ids || jsonb_build_object(posted_key, posted_id);
        END IF;
        RETURN NEXT;
    END LOOP;
    IF new_ids = '{}' THEN
        RETURN;
    END IF;

    SELECT array_agg(l.id), array_agg(l.owner), array_agg(l.purpose), array_agg(l.currency),
           array_agg(l.shard), array_agg(l.amount)
      INTO in_transfer, in_owner, in_purpose, in_currency, in_shard, in_amount
      FROM (SELECT (new_ids ->> (t ->> 'key'))::uuid AS id, e ->> 'owner' AS owner, e ->> 'purpose' AS purpose,
                   e ->> 'currency' AS currency, (e ->> 'amount')::bigint AS amount,
                   COALESCE((e ->> 'shard')::smallint,
                            ((hashtextextended(t ->> 'key', 0) & 65535) % COALESCE(p.shards, 1))::smallint) AS shard
              FROM jsonb_array_elements(transfers) WITH ORDINALITY AS batch (t, t_no)
             CROSS JOIN LATERAL jsonb_array_elements(t -> 'entries') WITH ORDINALITY AS lines (e, e_no)
              LEFT JOIN ledger_purposes p ON p.purpose = e ->> 'purpose'
             WHERE new_ids ? (t ->> 'key')
             ORDER BY t_no, e_no) l;

    INSERT INTO ledger_accounts (owner, purpose, currency, shard, floor)
    SELECT DISTINCT l.owner, l.purpose, l.currency, l.shard, p.floor
      FROM unnest(in_owner, in_purpose, in_currency, in_shard) AS l (owner, purpose, currency, shard)
      LEFT JOIN ledger_purposes p ON p.purpose = l.purpose
     WHERE NOT EXISTS (SELECT FROM ledger_accounts a WHERE a.owner = l.owner AND a.purpose = l.purpose
                          AND a.currency = l.currency AND a.shard = l.shard)
     ORDER BY 1, 2, 3, 4
    ON CONFLICT DO NOTHING;

    PERFORM FROM ledger_accounts a
      WHERE a.id IN (SELECT b.id FROM ledger_accounts b
                       JOIN unnest(in_owner, in_purpose, in_currency, in_shard) AS l (owner, purpose, currency, shard)
                      USING (owner, purpose, currency, shard)
                      UNION SELECT the_hold.account_id WHERE the_hold.account_id IS NOT NULL)
      ORDER BY a.id FOR NO KEY UPDATE;

    WITH line AS (
        SELECT a.id AS account_id, l.transfer_id, l.currency, l.amount, l.no, a.balance
          FROM unnest(in_transfer, in_owner, in_purpose, in_currency, in_shard, in_amount) WITH ORDINALITY
               AS l (transfer_id, owner, purpose, currency, shard, amount, no)
          JOIN ledger_accounts a USING (owner, purpose, currency, shard)
    ), entered AS (
        INSERT INTO ledger_entries (transfer_id, account_id, currency, amount, balance_after)
        SELECT transfer_id, account_id, currency, amount,
               balance + sum(amount) OVER (PARTITION BY account_id ORDER BY no)
          FROM line ORDER BY no
    ), moved AS (
        SELECT account_id, sum(amount) AS amount, 0::bigint AS released FROM line GROUP BY account_id
        UNION ALL
        SELECT the_hold.account_id, 0, the_hold.amount WHERE the_hold.account_id IS NOT NULL
    )
    UPDATE ledger_accounts a
       SET balance = a.balance + m.amount, held = a.held - m.released
      FROM (SELECT account_id, sum(amount)::bigint AS amount, sum(released)::bigint AS released
              FROM moved GROUP BY account_id) m
     WHERE a.id = m.account_id;
END;
$$;

-- Posts one or many transfers in one step: [{key, kind, subject, entries: [{owner, purpose, currency,
-- amount}]}]. Errors: PL001 key used for another transfer; 23514 ck_ledger_accounts_floor; at commit
-- PL004 unbalanced.
CREATE FUNCTION payments.ledger_post(transfers jsonb)
RETURNS TABLE (posted_key text, posted_id uuid, replayed boolean)
LANGUAGE sql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$ SELECT * FROM ledger_write(transfers, NULL, NULL) $$;

-- Reverses a transfer once, entry by entry in the same accounts. Errors: PL003 no such transfer, or
-- itself a reversal, or reversed under another key.
CREATE FUNCTION payments.ledger_reverse(the_transfer uuid, the_key text)
RETURNS TABLE (posted_key text, posted_id uuid, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$
DECLARE
    original ledger_transfers;
    lines jsonb;
BEGIN
    SELECT * INTO original FROM ledger_transfers t WHERE t.id = the_transfer;
    IF NOT FOUND OR original.reverses IS NOT NULL THEN
        RAISE EXCEPTION 'transfer % cannot be reversed', the_transfer USING ERRCODE = 'PL003';
    END IF;
    SELECT jsonb_agg(jsonb_build_object('owner', a.owner, 'purpose', a.purpose, 'currency', a.currency,
                                        'shard', a.shard, 'amount', -e.amount) ORDER BY e.id)
      INTO lines
      FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id
     WHERE e.transfer_id = the_transfer;
    RETURN QUERY SELECT * FROM ledger_write(
        jsonb_build_array(jsonb_build_object('key', the_key, 'kind', 'reversal', 'subject', original.subject,
                                             'entries', lines)), the_transfer, NULL);
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION 'transfer % is reversed already', the_transfer USING ERRCODE = 'PL003';
END;
$$;

-- Sets an amount aside: it counts as spent until the hold is posted, voided or expired.
-- Errors: PL001 key used for another hold; 23514 ck_ledger_accounts_floor.
CREATE FUNCTION payments.ledger_hold(
    the_key text, the_owner text, the_purpose text, the_currency text, the_amount bigint,
    the_expiry timestamptz, the_subject text)
RETURNS TABLE (hold_id uuid, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$
DECLARE
    the_digest bytea := sha256(convert_to(
        jsonb_build_array(the_owner, the_purpose, the_currency, the_amount, the_subject)::text, 'UTF8'));
    the_account bigint;
    earlier ledger_holds;
BEGIN
    INSERT INTO ledger_accounts (owner, purpose, currency, floor)
    SELECT the_owner, the_purpose, the_currency, p.floor
      FROM (SELECT) AS one LEFT JOIN ledger_purposes p ON p.purpose = the_purpose
     WHERE NOT EXISTS (SELECT FROM ledger_accounts a WHERE a.owner = the_owner AND a.purpose = the_purpose
                          AND a.currency = the_currency AND a.shard = 0)
    ON CONFLICT DO NOTHING;
    SELECT a.id INTO STRICT the_account FROM ledger_accounts a
     WHERE a.owner = the_owner AND a.purpose = the_purpose AND a.currency = the_currency AND a.shard = 0;
    INSERT INTO ledger_holds (key, digest, account_id, amount, subject, expires_at)
    VALUES (the_key, the_digest, the_account, the_amount, the_subject, the_expiry)
    ON CONFLICT ON CONSTRAINT uq_ledger_holds_key DO NOTHING
    RETURNING id INTO hold_id;
    replayed := hold_id IS NULL;
    IF replayed THEN
        SELECT * INTO STRICT earlier FROM ledger_holds h WHERE h.key = the_key;
        IF earlier.digest <> the_digest THEN
            RAISE EXCEPTION 'the key % belongs to another hold', the_key USING ERRCODE = 'PL001';
        END IF;
        hold_id := earlier.id;
    ELSE
        UPDATE ledger_accounts SET held = held + the_amount WHERE id = the_account;
    END IF;
    RETURN NEXT;
END;
$$;

-- Posts a transfer out of a hold, for its whole amount or less; what is left is free again. The
-- transfer must debit the held account. Errors: PL002 not held any more, expired, or too much.
CREATE FUNCTION payments.ledger_hold_post(the_hold_id uuid, transfer jsonb)
RETURNS TABLE (posted_key text, posted_id uuid, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$
DECLARE
    hold ledger_holds;
    account ledger_accounts;
    taken bigint;
BEGIN
    SELECT * INTO hold FROM ledger_holds h WHERE h.id = the_hold_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no hold %', the_hold_id USING ERRCODE = 'PL002';
    END IF;
    IF hold.state = 'posted' AND EXISTS (SELECT FROM ledger_transfers t
                                          WHERE t.hold_id = the_hold_id AND t.key = transfer ->> 'key') THEN
        RETURN QUERY SELECT * FROM ledger_write(jsonb_build_array(transfer), NULL, NULL);
        RETURN;
    END IF;
    IF hold.state <> 'held' OR hold.expires_at <= now() THEN
        RAISE EXCEPTION 'hold % is %', the_hold_id,
            CASE hold.state WHEN 'held' THEN 'expired' ELSE hold.state END USING ERRCODE = 'PL002';
    END IF;
    SELECT * INTO STRICT account FROM ledger_accounts a WHERE a.id = hold.account_id;
    SELECT -sum((e ->> 'amount')::bigint) INTO taken FROM jsonb_array_elements(transfer -> 'entries') e
     WHERE e ->> 'owner' = account.owner AND e ->> 'purpose' = account.purpose
       AND e ->> 'currency' = account.currency AND COALESCE((e ->> 'shard')::smallint, 0) = account.shard;
    IF taken IS NULL OR taken NOT BETWEEN 1 AND hold.amount THEN
        RAISE EXCEPTION 'the transfer must take between 1 and % from the held account', hold.amount
            USING ERRCODE = 'PL002';
    END IF;
    RETURN QUERY SELECT * FROM ledger_write(jsonb_build_array(transfer), NULL, hold);
    UPDATE ledger_holds SET state = 'posted', captured = taken, ended_at = now() WHERE id = the_hold_id;
END;
$$;

-- Frees a hold. True when this call did it, false when it was voided or expired before.
-- Errors: PL002 no such hold, or posted.
CREATE FUNCTION payments.ledger_hold_void(the_hold_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$
DECLARE
    hold ledger_holds;
BEGIN
    SELECT * INTO hold FROM ledger_holds h WHERE h.id = the_hold_id FOR NO KEY UPDATE;
    IF NOT FOUND OR hold.state = 'posted' THEN
        RAISE EXCEPTION 'hold % cannot be voided', the_hold_id USING ERRCODE = 'PL002';
    END IF;
    IF hold.state <> 'held' THEN
        RETURN false;
    END IF;
    UPDATE ledger_holds SET state = 'voided', ended_at = now() WHERE id = the_hold_id;
    UPDATE ledger_accounts SET held = held - hold.amount WHERE id = hold.account_id;
    RETURN true;
END;
$$;

-- Frees holds that ran out, at most `most` of them, skipping those in use; returns how many.
CREATE FUNCTION payments.ledger_expire_holds(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$
DECLARE
    due uuid[];
BEGIN
    SELECT array_agg(d.id) INTO due FROM (
        SELECT h.id FROM ledger_holds h WHERE h.state = 'held' AND h.expires_at <= now()
         ORDER BY h.expires_at LIMIT most FOR NO KEY UPDATE SKIP LOCKED) d;
    IF due IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM FROM ledger_accounts a
      WHERE a.id IN (SELECT h.account_id FROM ledger_holds h WHERE h.id = ANY (due))
      ORDER BY a.id FOR NO KEY UPDATE;
    UPDATE ledger_accounts a SET held = a.held - d.amount
      FROM (SELECT h.account_id, sum(h.amount)::bigint AS amount FROM ledger_holds h
             WHERE h.id = ANY (due) GROUP BY h.account_id) d
     WHERE a.id = d.account_id;
    UPDATE ledger_holds SET state = 'expired', ended_at = now() WHERE id = ANY (due);
    RETURN cardinality(due);
END;
$$;

INSERT INTO payments.ledger_purposes (purpose, normal_side, floor, shards, description) VALUES
    ('wallet', 'credit', 0, 1, 'what we owe a customer; never below zero'),
    ('receivable', 'debit', NULL, 1, 'what a customer owes us: refunds of money already spent'),
    ('gateway_clearing', 'debit', NULL, 8, 'money that a gateway has taken and not yet paid out'),
    ('merchant', 'credit', NULL, 8, 'what we owe a merchant for what was sold'),
    ('fees', 'credit', NULL, 8, 'what we keep'),
    ('suspense', 'credit', NULL, 1, 'money that came and fits no order; a person decides');
