-- `unwanted`: paid for nothing, and not given back yet (payments.subscriptions.unwanted).
ALTER TABLE payments.subscription_invoices DROP CONSTRAINT ck_subscription_invoices_status;
ALTER TABLE payments.subscription_invoices ADD CONSTRAINT ck_subscription_invoices_status
    CHECK (status IN ('open', 'paid', 'void', 'unwanted')) NOT VALID;
ALTER TABLE payments.subscription_invoices VALIDATE CONSTRAINT ck_subscription_invoices_status;
CREATE INDEX ix_subscription_invoices_unwanted ON payments.subscription_invoices (id) WHERE status = 'unwanted';

-- A trial that was paused goes on as one: nothing was paid for it.
INSERT INTO payments.status_moves (entity, from_status, to_status) VALUES
    ('subscription', 'paused', 'trialing');

-- Earlier releases gave up on what a bank settles late.
UPDATE payments.payments SET next_check_at = now() WHERE status = 'processing' AND next_check_at IS NULL;

-- They also named the gateway of the last payment beside a method of another one. Methods were
-- saved at Stripe only.
UPDATE payments.subscriptions SET gateway = CASE WHEN method_ref IS NULL THEN NULL ELSE 'stripe' END
 WHERE gateway IS DISTINCT FROM CASE WHEN method_ref IS NULL THEN NULL ELSE 'stripe' END;
