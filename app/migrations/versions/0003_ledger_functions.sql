-- The ledger's rules: append-only, balanced, and the only functions that post. See the tables'
-- file for signs, locks and rights.

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
