-- When somebody, or a first visit through Access, last decided about a person's role. Whoever has
-- none yet becomes an admin with the first visit; a role that was taken away stays away.
ALTER TABLE payments.users ADD COLUMN role_settled_at timestamptz;

-- Of those there are, admins came, and the log knows whose role was ever changed. The release before
-- this one leaves new admins without it until it stops; whoever takes their role away sets it.
UPDATE payments.users AS u SET role_settled_at = now()
WHERE u.role = 'admin'
   OR EXISTS (SELECT FROM payments.audit_log AS a
              WHERE a.action = 'user.role_changed' AND a.subject = u.id::text);

ALTER TABLE payments.users DROP CONSTRAINT ck_users_role;
ALTER TABLE payments.users ADD CONSTRAINT ck_users_role
    CHECK (role IN ('customer', 'viewer', 'admin')) NOT VALID;
ALTER TABLE payments.users VALIDATE CONSTRAINT ck_users_role;

-- Whoever asks for a payout and whoever approves it are people, so ids of accounts: with a program
-- between them they could be one. What was asked or approved before is looked at no more, so that the
-- bank's answer to it can still be noted; but what a program asked for is approved by nobody now.
CREATE FUNCTION payments.refuse_program_in_payout() RETURNS trigger
LANGUAGE plpgsql SET search_path = payments, pg_temp
AS $$
DECLARE
    person CONSTANT text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
BEGIN
    IF NEW.requested_by !~ person OR NEW.approved_by !~ person THEN
        RAISE EXCEPTION 'payout %: people ask and approve, not % and %',
            NEW.id, NEW.requested_by, coalesce(NEW.approved_by, 'nobody')
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payouts_by_people';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER payouts_by_people BEFORE INSERT OR UPDATE OF requested_by, approved_by ON payments.payouts
    FOR EACH ROW EXECUTE FUNCTION payments.refuse_program_in_payout();
