/**
 * Frames about the link rather than a channel: the handshake, Ping and Pong,
 * GoAway, and the Close of Opens that got no channel. All but the last are flags, due at most once;
 * refusals are a short queue, and a peer that keeps opening channels without reading them is cut off.
 */
import type { Instant } from '../base/time.ts';
import { NEVER } from '../base/time.ts';
import {
  CLOSE,
  emitFrame,
  emitPing,
  emitReset,
  FRAME_HEADER_LEN,
  GO_AWAY,
  PING,
  PING_LEN,
  PONG,
  resetLen,
} from './frame.ts';
import { emitHandshake, HANDSHAKE_LEN, OFFER_LEN, type Offer } from './handshake.ts';
import type { MuxSettings } from './options.ts';
import { type RefusalReason, resetCodeOf } from './reason.ts';
import type { MuxStats } from './stats.ts';
import type { MuxWriter } from './writer.ts';

const MAX_REFUSALS = 1024;
/**
 * While so many bytes arrive, enough to renew a window, the round-trip time is measured this often: where only questions
 * and answers pass, each Ping would wake both ends for nothing.
 */
const BUSY_PING_MS = 250;
const BUSY_BYTES = 32 << 10;
const NO_TEXT = new Uint8Array(0);

interface Refusal {
  readonly id: number;
  readonly reason: RefusalReason;
}

export class LinkControl {
  extended = false;
  /** Of the last Ping, in ms; 0 before the first answer. */
  rttMs = 0;
  goAwayDue = false;
  private readonly settings: MuxSettings;
  private readonly stats: MuxStats;
  private greetingDue = false;
  private offer: Offer | undefined = undefined;
  private readonly refusals: Refusal[] = [];
  private pongDue = false;
  private pongToken = 0;
  private pingDue = false;
  private pingToken = 0;
  /** `NEVER` when no answer is outstanding. */
  private pingSentAt: Instant = NEVER;
  private nextPingAt: Instant = NEVER;
  /** When the last bytes came. */
  heardAt: Instant = 0;
  private bytesAtPing = 0;
  private askedAt: Instant = 0;

  constructor(settings: MuxSettings, stats: MuxStats) {
    this.settings = settings;
    this.stats = stats;
  }

  greet(offer: Offer | undefined): void {
    this.offer = offer;
    this.greetingDue = true;
  }

  /** The handshake settled on the extended mode. */
  startPings(now: Instant): void {
    this.extended = true;
    this.heardAt = now;
    this.nextPingAt = now;
  }

  heard(now: Instant): void {
    this.heardAt = now;
    if (this.extended && this.stats.bytesReceived - this.bytesAtPing >= BUSY_BYTES) {
      const soon = this.askedAt + BUSY_PING_MS;
      if (soon < this.nextPingAt) this.nextPingAt = soon;
    }
  }

  /** Ping at `at`, unless that is done before. */
  pingBy(at: Instant): void {
    if (this.extended && at < this.nextPingAt) this.nextPingAt = at;
  }

  /** @returns false when too many wait: the peer opens channels and reads nothing */
  refuse(id: number, reason: RefusalReason): boolean {
    this.refusals.push({ id, reason });
    return this.refusals.length <= MAX_REFUSALS;
  }

  onPing(token: number): void {
    if (this.pongDue) this.stats.drops.add('ping-coalesced');
    this.pongDue = true;
    this.pongToken = token;
  }

  onPong(now: Instant, token: number): void {
    if (this.pingSentAt === NEVER || token !== this.pingToken) {
      this.stats.drops.add('stray-pong');
      return;
    }
    this.rttMs = Math.max(now - this.pingSentAt, 0);
    this.pingSentAt = NEVER;
  }

  nextTimeout(): Instant {
    return this.extended ? Math.min(this.nextPingAt, this.deadAt()) : NEVER;
  }

  /** @returns false when the peer has been silent for too long */
  onTimeout(now: Instant): boolean {
    if (!this.extended) return true;
    if (now >= this.deadAt()) return false;
    if (now >= this.nextPingAt) {
      if (this.pingSentAt === NEVER) this.pingDue = true;
      this.bytesAtPing = this.stats.bytesReceived;
      this.nextPingAt = now + this.settings.pingIntervalMs;
      this.askedAt = now;
    }
    return true;
  }

  /** Write what is due. @returns false when the link has no room */
  write(now: Instant, writer: MuxWriter): boolean {
    if (this.greetingDue) {
      const at = writer.reserve(HANDSHAKE_LEN + OFFER_LEN);
      if (at < 0) return false;
      writer.commit(emitHandshake(writer.slab.view, at, this.offer));
      this.greetingDue = false;
    }
    while (this.refusals.length > 0) {
      const next = this.refusals[0];
      if (next === undefined || !this.writeRefusal(writer, next)) return false;
      this.refusals.shift();
    }
    if (!this.extended) return true;
    if (this.pongDue) {
      if (!this.writePing(writer, PONG, this.pongToken)) return false;
      this.pongDue = false;
    }
    if (this.pingDue) {
      this.pingToken = (this.pingToken + 1) >>> 0;
      if (!this.writePing(writer, PING, this.pingToken)) return false;
      this.pingDue = false;
      this.pingSentAt = now;
    }
    if (this.goAwayDue) {
      const at = writer.reserve(FRAME_HEADER_LEN);
      if (at < 0) return false;
      writer.commit(emitFrame(writer.slab.view, at, FRAME_HEADER_LEN, GO_AWAY, 0));
      this.stats.framesSent++;
      this.goAwayDue = false;
    }
    return true;
  }

  private deadAt(): Instant {
    return this.heardAt + this.settings.pingTimeoutMs;
  }

  private writePing(writer: MuxWriter, command: number, token: number): boolean {
    const at = writer.reserve(PING_LEN);
    if (at < 0) return false;
    writer.commit(emitPing(writer.slab.view, at, command, token));
    this.stats.framesSent++;
    return true;
  }

  private writeRefusal(writer: MuxWriter, { id, reason }: Refusal): boolean {
    const at = writer.reserve(resetLen(0));
    if (at < 0) return false;
    const { view } = writer.slab;
    writer.commit(
      this.extended
        ? emitReset(view, at, id, resetCodeOf(reason), NO_TEXT)
        : emitFrame(view, at, FRAME_HEADER_LEN, CLOSE, id),
    );
    this.stats.framesSent++;
    return true;
  }
}
