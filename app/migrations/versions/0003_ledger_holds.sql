-- Holds: amounts set aside on an account, and what may become of them.

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
