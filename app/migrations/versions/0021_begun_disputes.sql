-- When a dispute was opened, by the gateway's clock; of earlier ones only our own time is known. The
-- default is for an older release that still runs during a deployment.

ALTER TABLE payments.disputes ADD COLUMN begun_at timestamptz NOT NULL DEFAULT now();
UPDATE payments.disputes SET begun_at = created_at;
