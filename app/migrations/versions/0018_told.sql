-- An endpoint that was added without naming events has all that there were then. Its owner was
-- promised everything. A customer has ten endpoints at most: these are few rows.

UPDATE payments.webhook_endpoints
   SET events = events || ARRAY[
           'refund.pending', 'refund.succeeded', 'refund.failed', 'refund.remote_failed',
           'refund.returned', 'dispute.opened', 'dispute.won', 'dispute.lost']
 WHERE events @> ARRAY[
           'order.pending', 'order.remote_failed', 'order.failed', 'order.expired', 'order.review',
           'order.paid', 'order.partially_refunded', 'order.refunded', 'subscription.active',
           'subscription.past_due', 'subscription.paused', 'subscription.canceled',
           'subscription.expired']
   AND NOT events @> ARRAY['refund.pending'];
