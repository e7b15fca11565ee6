-- The audit chain. Every link's digest covers the one before it, so that a changed, removed,
-- inserted or moved row shows from there on; the head shows rows cut off at the end.

INSERT INTO payments.audit_head (id, digest) VALUES (0, sha256('payments audit log'::bytea));

-- What a digest covers: a JSON array of all fields (unambiguous whatever the texts contain), the
-- time in whole microseconds so that no session's time zone or format matters.
CREATE FUNCTION payments.audit_digest(link payments.audit_log) RETURNS bytea
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
    SELECT sha256(link.previous || convert_to(jsonb_build_array(
        link.id,
        (extract(epoch FROM link.at) * 1000000)::bigint,
        link.actor,
        link.action,
        link.subject,
        link.detail
    )::text, 'UTF8'));
$$;

-- Runs with its owner's rights: the app may not touch the head. The head's lock is held until
-- commit, so numbers have no gaps and links no forks.
CREATE FUNCTION payments.audit_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
DECLARE
    head payments.audit_head;
BEGIN
    SELECT * INTO STRICT head FROM payments.audit_head FOR UPDATE;
    NEW.id := head.id + 1;
    NEW.at := clock_timestamp();
    NEW.previous := head.digest;
    NEW.digest := payments.audit_digest(NEW);
    UPDATE payments.audit_head SET id = NEW.id, digest = NEW.digest;
    RETURN NEW;
END;
$$;

CREATE TRIGGER audit_chain BEFORE INSERT ON payments.audit_log
FOR EACH ROW EXECUTE FUNCTION payments.audit_chain();

CREATE FUNCTION payments.audit_refuse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER audit_refuse_change BEFORE UPDATE OR DELETE ON payments.audit_log
FOR EACH ROW EXECUTE FUNCTION payments.audit_refuse();

CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON payments.audit_log
FOR EACH STATEMENT EXECUTE FUNCTION payments.audit_refuse();

CREATE TRIGGER audit_refuse_head_removal BEFORE DELETE OR TRUNCATE ON payments.audit_head
FOR EACH STATEMENT EXECUTE FUNCTION payments.audit_refuse();

-- The first place where the chain does not hold; no row when it does.
CREATE FUNCTION payments.audit_verify() RETURNS TABLE (id bigint, reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog
AS $$
DECLARE
    link payments.audit_log;
    number bigint := 0;
    before bytea := sha256('payments audit log'::bytea);
    head payments.audit_head;
BEGIN
    FOR link IN SELECT * FROM payments.audit_log AS a ORDER BY a.id LOOP
        number := number + 1;
        IF link.id <> number THEN
            RETURN QUERY SELECT number, 'is missing';
            RETURN;
        ELSIF link.previous IS DISTINCT FROM before THEN
            RETURN QUERY SELECT number, 'does not continue the row before it';
            RETURN;
        ELSIF link.digest IS DISTINCT FROM payments.audit_digest(link) THEN
            RETURN QUERY SELECT number, 'was changed';
            RETURN;
        END IF;
        before := link.digest;
    END LOOP;
    SELECT * INTO head FROM payments.audit_head;
    IF head.id IS DISTINCT FROM number OR head.digest IS DISTINCT FROM before THEN
        RETURN QUERY SELECT number + 1, 'is missing at the end, or the head was changed';
    END IF;
END;
$$;

REVOKE ALL ON FUNCTION payments.audit_digest(payments.audit_log), payments.audit_chain(),
    payments.audit_refuse(), payments.audit_verify() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION payments.audit_verify() TO payments_app;
