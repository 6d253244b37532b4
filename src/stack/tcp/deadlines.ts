/** A connection's deadlines. All share one entry of the stack's wheel: the earliest. */
import { type Instant, NEVER } from '../../base/time.ts';
import type { Tcb } from './tcb.ts';

const DELAYED_ACK_MS = 10;
const MAX_PERSIST_MS = 60_000;
const MIN_TAIL_PROBE_MS = 10;
/** The guest may hold its ACK back (RFC 8985 §7.2, WCDelAckT: here Linux's usual minimum). */
const DELAYED_ACK_ALLOWANCE_MS = 40;

/** File the connection under its earliest deadline. */
export function armTimer(c: Tcb): void {
  armPersist(c);
  let at = c.rtoAt;
  if (c.tailProbeAt < at) at = c.tailProbeAt;
  if (c.persistAt < at) at = c.persistAt;
  if (c.ackAt < at) at = c.ackAt;
  if (c.keepaliveAt < at) at = c.keepaliveAt;
  if (at !== c.deadline) c.context.wheel.set(c, at);
}

export function delayAck(c: Tcb, now: Instant): void {
  if (c.ackAt !== NEVER) return;
  c.ackAt = now + DELAYED_ACK_MS;
  armTimer(c);
}

/** Something waits for a window that is closed, and nothing is in flight to make it known. */
function armPersist(c: Tcb): void {
  const waits = !c.finSent && (c.outgoingEnd !== c.sndNxt || c.finQueued);
  const stuck = waits && c.flight === 0 && c.state !== 'syn-sent' && c.state !== 'syn-received';
  if (!stuck || c.blocked) {
    c.persistAt = NEVER;
    return;
  }
  if (c.persistAt === NEVER) {
    // RFC 9293 §3.8.6.1: once the window has been closed for as long as the timeout of a retransmission.
    const from = c.sndWnd === 0 ? c.persistFrom : Math.max(c.persistFrom, c.lastSent);
    c.persistAt = from + Math.min(c.rtt.rto * 2 ** Math.min(c.persistBackoff, 10), MAX_PERSIST_MS);
  }
}

/**
 * Tail loss probe (RFC 8985 §7): the last segment once more, so that its loss is repaired by SACK
 * after two round trips and not by a timeout.
 */
export function armTailProbe(c: Tcb, now: Instant): void {
  if (!c.sackPermitted || c.recovery !== 'none' || c.flight === 0 || c.rtt.srtt === 0) return;
  if (c.tailProbeAt !== NEVER || c.tailProbed) return;
  const at = now + Math.max(2 * c.rtt.srtt, MIN_TAIL_PROBE_MS) + DELAYED_ACK_ALLOWANCE_MS;
  if (at < c.rtoAt) c.tailProbeAt = at;
}
