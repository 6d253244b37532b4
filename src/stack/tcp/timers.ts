/** What happens when one of a connection's deadlines has come. */
import { seqAdd } from '../../base/seq.ts';
import { type Instant, NEVER } from '../../base/time.ts';

import { onRetransmissionTimeout } from './recovery.ts';
import { output, resend, sendProbe, sendSyn } from './send.ts';
import type { Tcb } from './tcb.ts';

export function serveTimers(c: Tcb, now: Instant): void {
  if (c.ackAt <= now) {
    c.ackAt = NEVER;
    c.ackNow = true;
    output(c, now);
  }
  if (c.tailProbeAt <= now) onTailProbe(c, now);
  if (c.rtoAt <= now) onRto(c, now);
  if (c.persistAt <= now && c.state !== 'closed') onPersist(c, now);
  if (c.keepaliveAt <= now && c.state !== 'closed') onKeepalive(c, now);
}

function onRto(c: Tcb, now: Instant): void {
  const { config } = c.context;
  const handshake = c.state === 'syn-sent' || c.state === 'syn-received';
  const limit = handshake ? config.maxSynRetransmits : config.maxRetransmits;
  const { neighbor } = c.path;
  if (c.blocked) {
    c.rtoAt = now + c.rtt.rto; // the link holds it back (a guest that is paused): nothing is lost
    return;
  }
  if (c.attempts >= limit) {
    c.close(c.unreachable ? 'unreachable' : 'timed-out');
    return;
  }
  c.context.out.reachability.onUnanswered(now, neighbor, c);
  if (handshake) {
    c.attempts++;
    c.retransmits++;
    c.rtt.backOff();
    c.rtoAt = now + c.rtt.rto;
    c.timedAt = -1;
    sendSyn(c, now);
    return;
  }
  onRetransmissionTimeout(c, now);
  c.rtoAt = now + c.rtt.rto;
  output(c, now);
}

function onTailProbe(c: Tcb, now: Instant): void {
  c.tailProbeAt = NEVER;
  if (c.recovery !== 'none' || c.flight === 0 || c.blocked) return;
  c.tailProbed = true;
  const span = Math.min(c.sndMss, c.flight);
  resend(c, now, seqAdd(c.sndNxt, -span), span);
  c.rtoAt = now + c.rtt.rto;
}

function onPersist(c: Tcb, now: Instant): void {
  c.persistAt = NEVER;
  if (probeUnanswered(c)) return;
  c.persistBackoff++;
  if (c.sndWnd > 0) {
    c.sendAnyway = true; // RFC 9293 §3.8.6.2.1 (4): the window is small, and stays so
    output(c, now);
    c.sendAnyway = false;
  } else sendProbe(c, now);
  c.persistFrom = now; // also when the link was full: the next probe comes later all the same
}

function onKeepalive(c: Tcb, now: Instant): void {
  const { config } = c.context;
  const idleUntil = c.lastHeard + config.keepaliveIdleMs;
  if (now < idleUntil) {
    c.keepaliveAt = idleUntil;
    return;
  }
  if (probeUnanswered(c)) return;
  sendProbe(c, now);
  c.keepaliveAt = now + config.keepaliveIntervalMs;
}

/** Count one more probe; end the connection when too many stayed without an answer. */
function probeUnanswered(c: Tcb): boolean {
  if (c.probes >= c.context.config.keepaliveProbes) {
    c.close(c.path.neighbor.port === undefined ? 'link-down' : 'timed-out');
    return true;
  }
  c.probes++;
  return false;
}
