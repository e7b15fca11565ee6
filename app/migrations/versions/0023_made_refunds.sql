-- When a refund was made that came to nothing, by the gateway's clock. Of earlier ones nobody knows, as
-- of those that an older release still writes during a deployment: any total may have counted them.

ALTER TABLE payments.refunds_undone ADD COLUMN made_at timestamptz NOT NULL DEFAULT 'epoch';
